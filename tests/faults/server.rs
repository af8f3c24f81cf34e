//! The server as a process: it listens, it is away, it comes back on the same port.
//!
//! Deliberately not here: what it says (`answering`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::answering;
use crate::connection::Connection;
use crate::memory::{Log, Memory};

/// For how long nobody listens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outage {
    /// New connections are refused; those that are there stay.
    Refuse(Duration),
    /// Every connection ends, and everything is forgotten.
    Restart(Duration),
}

/// What every connection has in hand.
pub(crate) struct World {
    pub(crate) seed: u64,
    memory: Mutex<Memory>,
    outages: mpsc::UnboundedSender<Outage>,
}

impl World {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no panic")
    }

    /// Takes the listener away.
    pub(crate) fn break_down(&self, outage: Outage) {
        // Nobody hears it any more once the test is over.
        let _ = self.outages.send(outage);
    }
}

/// A running server, on a thread of its own.
pub(crate) struct Server {
    pub(crate) url: String,
    world: Arc<World>,
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start(seed: u64) -> Server {
        let (outages, broken) = mpsc::unbounded_channel();
        let world = Arc::new(World { seed, memory: Mutex::default(), outages });
        let (stop, stopped) = oneshot::channel();
        let (found, address) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&world);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let port = Port::find();
                found.send(port.address).expect("somebody waits");
                tokio::select! {
                    () = serve(&port, &theirs, broken) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = address.recv().expect("it listens");
        Server { url: format!("http://{address}/mcp"), world, thread, stop }
    }

    /// Ends it, and returns what happened.
    pub(crate) fn stop(self) -> Log {
        let _ = self.stop.send(());
        self.thread.join().expect("no panic in the server");
        std::mem::take(&mut self.world.memory().log)
    }
}

async fn serve(port: &Port, world: &Arc<World>, mut broken: mpsc::UnboundedReceiver<Outage>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let listener = port.listen().await;
        let outage = loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    number += 1;
                    let connection = Connection::new(stream);
                    connections.spawn(answering::converse(connection, number, Arc::clone(world)));
                }
                Some(ended) = connections.join_next() => ended.expect("no panic in a connection"),
                Some(outage) = broken.recv() => break outage,
            }
        };
        drop(listener);
        match outage {
            Outage::Refuse(pause) => tokio::time::sleep(pause).await,
            Outage::Restart(pause) => {
                connections.shutdown().await;
                world.memory().forget();
                world.memory().log.restarts += 1;
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// A port of this server alone, also while nobody listens there.
struct Port {
    address: SocketAddr,
    /// Bound, but not listening: where that is possible, nobody else is given the port meanwhile, and a connection to
    /// it does not by chance begin at it.
    _placeholder: Option<TcpSocket>,
}

impl Port {
    fn find() -> Port {
        let socket = Port::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let _placeholder = cfg!(target_os = "linux").then_some(socket);
        Port { address, _placeholder }
    }

    /// Listens there. What is left of earlier connections may be in the way for a moment.
    async fn listen(&self) -> TcpListener {
        let mut tries = 0;
        loop {
            let listener = Port::bind(self.address).and_then(|socket| socket.listen(1024));
            match listener {
                Ok(listener) => return listener,
                Err(error) if tries == 1000 => panic!("{} is not free again: {error}", self.address),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        // On Windows this would mean something else, and is not needed.
        socket.set_reuseaddr(cfg!(unix))?;
        socket.bind(address)?;
        Ok(socket)
    }
}
