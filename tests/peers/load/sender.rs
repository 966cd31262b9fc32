//! One connection that sends requests one after the other and wants a 200 for each.

use super::Protocol;
use crate::corpus::Body;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use spanferry::otlp::service::{EXPORT, RawCodec};
use spanferry_tests::stack::load::Connection;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

/// No answer within this is a failed run.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connection, opened when it is needed.
pub enum Sender {
    /// HTTP/1.1, and the buffer in which its requests are made.
    Http(Connection, SocketAddr, Vec<u8>),
    /// HTTP/2.
    Grpc(Channel),
}

impl Sender {
    /// To `target`, which is not spoken to yet.
    pub fn new(protocol: Protocol, target: SocketAddr) -> Result<Sender> {
        Ok(match protocol {
            Protocol::Http => Sender::Http(Connection::new(target), target, Vec::new()),
            Protocol::Grpc => {
                Sender::Grpc(Endpoint::from_shared(format!("http://{target}"))?.connect_lazy())
            }
        })
    }

    /// Sends one request and waits for its 200.
    pub async fn send(&mut self, body: &Body, number: u64) -> Result<()> {
        let exchange = async {
            match self {
                Sender::Http(connection, target, buffer) => {
                    by_http(connection, *target, buffer, body, number).await
                }
                Sender::Grpc(channel) => by_grpc(channel, body, number).await,
            }
        };
        let answer = tokio::time::timeout(DEADLINE, exchange).await;
        answer.with_context(|| format!("request {number:#x}: no answer in {DEADLINE:?}"))?
    }
}

async fn by_http(
    connection: &mut Connection,
    target: SocketAddr,
    buffer: &mut Vec<u8>,
    body: &Body,
    number: u64,
) -> Result<()> {
    buffer.clear();
    write!(
        buffer,
        "POST /v1/traces HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )?;
    body.numbered(number, buffer);
    match connection.exchange(buffer).await? {
        200 => Ok(()),
        status => bail!("request {number:#x}: HTTP {status}"),
    }
}

async fn by_grpc(channel: &Channel, body: &Body, number: u64) -> Result<()> {
    let mut message = Vec::with_capacity(body.len());
    body.numbered(number, &mut message);
    let mut client = Grpc::new(channel.clone());
    client.ready().await?;
    let request = tonic::Request::new(vec![Bytes::from(message)]);
    client.unary(request, PathAndQuery::from_static(EXPORT), RawCodec).await?;
    Ok(())
}
