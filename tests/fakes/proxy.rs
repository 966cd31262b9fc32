//! A network between two parts that does as it is told: lets through, refuses, hangs, cuts, loses answers, is slow.
//! Connections that are open feel a change at once; its port stays the same.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Lets everything through.
    Open,
    /// Takes no connection, and has cut those that were there.
    Refuse,
    /// Takes connections and bytes and passes nothing on; what it holds goes on when it is another one again.
    Hang,
    /// Passes so many bytes of each connection on towards the server, then cuts it.
    CutRequests(u64),
    /// Passes everything on towards the server, and no answer until it is another one again.
    HoldAnswers,
    /// Passes everything on towards the server; cuts a connection when its answer comes.
    LoseAnswers,
    /// Passes about so many bytes a second, each way of each connection.
    Slow(u64),
}

/// A proxy before one server. Dropping it closes its port and cuts its connections.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    cut: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Listens on `port` (0: any free one) before `server`, which need not be there yet.
    pub async fn start(port: u16, server: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("proxy at port {port}"))?;
        let address = listener.local_addr()?;
        let network = watch::Sender::new(Network::Open);
        let cut = Arc::new(AtomicU64::new(0));
        let way = Way { server, network: network.subscribe(), cut: cut.clone() };
        let serving = tokio::spawn(serve(listener, address, way));
        Ok(Proxy { address, network, cut, serving })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Is such a network from now on.
    pub fn be(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Connections that it has cut.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
        // The connections' tasks see that nobody can change the network any more.
    }
}

/// What a connection knows.
#[derive(Clone)]
struct Way {
    server: SocketAddr,
    network: watch::Receiver<Network>,
    cut: Arc<AtomicU64>,
}

async fn serve(listener: TcpListener, address: SocketAddr, mut way: Way) {
    let mut listener = Some(listener);
    loop {
        let refuses = *way.network.borrow_and_update() == Network::Refuse;
        match &listener {
            Some(_) if refuses => listener = None,
            Some(open) => tokio::select! {
                Ok((client, _)) = open.accept() => {
                    tokio::spawn(connect(client, way.clone()));
                }
                changed = way.network.changed() => if changed.is_err() { return },
            },
            None if refuses => {
                if way.network.changed().await.is_err() {
                    return;
                }
            }
            // Somebody may hold the port for a moment.
            None => match TcpListener::bind(address).await {
                Ok(open) => listener = Some(open),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

/// One connection, until an end closes it or the network cuts it.
async fn connect(client: TcpStream, mut way: Way) {
    if settled(&mut way.network, Direction::Up).await.is_none() {
        return;
    }
    let Ok(server) = TcpStream::connect(way.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let mut cut = way.network.clone();
    let was_cut = tokio::select! {
        was_cut = pass(from_client, to_server, way.network.clone(), Direction::Up) => was_cut,
        was_cut = pass(from_server, to_client, way.network.clone(), Direction::Down) => was_cut,
        _ = cut.wait_for(|network| *network == Network::Refuse) => true,
    };
    if was_cut {
        way.cut.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// Passes bytes on; true when the network cut them off. Both ways end with the first that ends.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    direction: Direction,
) -> bool {
    let (mut buffer, mut passed) = (vec![0; 16 << 10], 0_u64);
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return false };
        let Some(now) = settled(&mut network, direction).await else { return true };
        let mut bytes = &buffer[..count];
        match now {
            Network::CutRequests(limit) if direction == Direction::Up => {
                let left = limit.saturating_sub(passed) as usize;
                bytes = &bytes[..count.min(left)];
            }
            Network::LoseAnswers if direction == Direction::Down => return true,
            Network::Slow(rate) => {
                tokio::time::sleep(Duration::from_secs_f64(count as f64 / rate as f64)).await;
            }
            _ => {}
        }
        passed += bytes.len() as u64;
        if to.write_all(bytes).await.is_err() {
            return false;
        }
        if bytes.len() < count {
            return true;
        }
    }
}

/// What the network is, once nothing hangs in this direction; nothing when it is gone or refuses.
async fn settled(network: &mut watch::Receiver<Network>, direction: Direction) -> Option<Network> {
    let flows = |network: &Network| match network {
        Network::Hang => false,
        Network::HoldAnswers => direction == Direction::Up,
        _ => true,
    };
    let now = *network.wait_for(flows).await.ok()?;
    (now != Network::Refuse).then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with the same byte, and a proxy before it.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Proxy::start(0, server).await.unwrap()
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn an_open_network_changes_nothing() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(say(&mut stream, b"hello").await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_network_that_refuses_cuts_what_is_there_and_takes_its_port_again() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut stream, b"hello").await.unwrap();
        proxy.be(Network::Refuse);
        assert!(say(&mut stream, b"hello").await.is_err());
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.be(Network::Open);
        let mut stream = loop {
            match TcpStream::connect(proxy.address()).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(say(&mut stream, b"hello").await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn what_hangs_goes_on_when_the_network_is_open_again() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.be(Network::Hang);
        let wait = Duration::from_millis(100);
        assert!(tokio::time::timeout(wait, say(&mut stream, b"hello")).await.is_err());
        proxy.be(Network::Open);
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
    }

    #[tokio::test]
    async fn a_request_is_cut_in_its_middle_and_an_answer_is_lost() {
        let proxy = echo().await;
        for network in [Network::CutRequests(3), Network::LoseAnswers] {
            proxy.be(network);
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            assert!(say(&mut stream, b"hello").await.is_err(), "{network:?}");
        }
        assert_eq!(proxy.cut(), 2);
    }
}
