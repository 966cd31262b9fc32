//! A service behind the proxy that answers in every way in which a request can go, by its path. HTTP/1.1,
//! written by hand, so that it can also break off, upgrade, and be a tunnel's end.

use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest head of a request, bytes.
const HEAD_BYTES: usize = 128 << 10;
/// Longer than any timeout of the tests.
const NEVER: Duration = Duration::from_secs(600);

/// The service. Dropping it ends it.
pub struct Oddities {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Oddities {
    /// Starts one on a free loopback port, in the current runtime.
    pub async fn start() -> Result<Oddities> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let flaky = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, flaky.clone()));
            }
        });
        Ok(Oddities { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Oddities {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request after the other; an error ends the connection.
async fn serve(mut stream: TcpStream, flaky: Arc<AtomicU64>) {
    while let Some(head) = head(&mut stream).await {
        if answer(&mut stream, &head, &flaky).await.is_err() {
            return;
        }
    }
}

/// A request up to its empty line; what is no request at all is a tunnel's first bytes.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n")
        && !read.starts_with(b"tunnel")
        && read.len() < HEAD_BYTES
    {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&read).into_owned())
}

async fn answer(stream: &mut TcpStream, head: &str, flaky: &AtomicU64) -> std::io::Result<()> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match first {
        _ if head.starts_with("tunnel") => echo(stream, head).await,
        "status" => {
            let code = path.rsplit('/').next().unwrap_or_default();
            write(stream, &format!("{code} Told"), "").await
        }
        "slow" => {
            tokio::time::sleep(NEVER).await;
            Ok(())
        }
        "cut" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        "reset" => Err(std::io::ErrorKind::ConnectionAborted.into()),
        // Two of three fail, so that the third try is answered.
        "flaky" if flaky.fetch_add(1, Ordering::Relaxed) % 3 < 2 => {
            write(stream, "503 Not Now", "").await
        }
        "moved" => write(stream, "302 Found", "location: http://shop.example/arrived\r\n").await,
        "continue" => {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            write(stream, "200 OK", "").await
        }
        "upgrade" => {
            let head = "HTTP/1.1 101 Switching Protocols\r\n\
                        connection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            echo(stream, "").await
        }
        "stream" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(b"2\r\nok\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await
        }
        _ => write(stream, "200 OK", "x-told: by the service\r\nset-cookie: s3cret\r\n").await,
    }
}

async fn write(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: 2\r\n\r\nok");
    stream.write_all(text.as_bytes()).await
}

/// Sends back whatever comes, until the other side ends.
async fn echo(stream: &mut TcpStream, first: &str) -> std::io::Result<()> {
    stream.write_all(first.as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    Err(std::io::ErrorKind::ConnectionAborted.into())
}
