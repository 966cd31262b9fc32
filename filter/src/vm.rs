//! The contexts of one VM, by the proxy's ids: its root contexts, and the requests under way, each of one
//! root. A callback for an id that nobody knows does nothing.

use crate::host::Host;
use crate::request::Request;
use crate::root::{Root, Worker};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// All contexts of one VM. A configuration that changes at run time adds a root to the VM that is there.
pub struct Vm<H> {
    host: H,
    /// One for each configuration that is in use: few.
    roots: Vec<Root<H>>,
    /// The request that was created last and its root, until its headers are there: most often they are next, and one that
    /// will have no span then never comes among the others.
    newest: Option<(u32, u32)>,
    requests: HashMap<u32, Open, BuildHasherDefault<IdHasher>>,
}

/// A request under way, of this root.
struct Open {
    root: u32,
    request: Request,
}

impl<H: Host> Vm<H> {
    /// Without contexts.
    pub fn new(host: H) -> Self {
        Self { host, roots: Vec::new(), newest: None, requests: HashMap::default() }
    }

    /// A root context when `root` is 0, else a request of that root.
    pub fn on_context_create(&mut self, context: u32, root: u32) {
        if root == 0 {
            self.roots.retain(|root| root.id != context);
            self.roots.push(Root::new(self.host, context));
        } else if let Some((before, root)) = self.newest.replace((context, root)) {
            self.requests.insert(before, Open { root, request: Request::default() });
        }
    }

    /// The configuration of a root is there, with this many bytes.
    pub fn on_configure(&mut self, root: u32, size: usize) {
        if let Some(root) = find(&mut self.roots, root) {
            root.configure(size);
        }
    }

    /// A root's time has come.
    pub fn on_tick(&mut self, root: u32) {
        self.with_root(root, Root::tick);
    }

    /// A root's call was answered, or failed: then it has no headers.
    pub fn on_http_call_response(&mut self, root: u32, token: u32, body_size: usize) {
        self.with_root(root, |root| root.answered(token, body_size));
    }

    /// A request's headers are there, and its body follows unless they end it. One that will have no span is forgotten at once.
    pub fn on_request_headers(&mut self, context: u32, has_body: bool) {
        let Some(mut open) = self.remove(context) else { return };
        let worker = find(&mut self.roots, open.root).and_then(Root::worker);
        if worker.is_some_and(|worker| open.request.begin(worker, has_body)) {
            self.requests.insert(context, open);
        }
    }

    /// The answer to a request begins.
    pub fn on_response_headers(&mut self, context: u32) {
        if let Some(open) = self.requests.get_mut(&context) {
            open.request.answered(self.host);
        }
    }

    /// A request is over, and its status and sizes are final.
    pub fn on_log(&mut self, context: u32) {
        if let Some((request, worker)) = self.take(context) {
            request.end(worker);
        }
    }

    /// A context ends, and is forgotten. False when a root wants time to send what it holds; it then says
    /// when it is done. A request that was not logged, as in Envoy's upstream filters, is over now.
    pub fn on_done(&mut self, context: u32) -> bool {
        match self.roots.iter_mut().position(|root| root.id == context) {
            Some(at) => {
                let is_over = self.roots[at].end();
                if is_over {
                    self.roots.swap_remove(at);
                }
                is_over
            }
            None => {
                if let Some((request, worker)) = self.take(context) {
                    request.end_attempt(worker);
                }
                true
            }
        }
    }

    /// Lets a root work, and forgets it when it has come to its end.
    fn with_root(&mut self, id: u32, run: impl FnOnce(&mut Root<H>)) {
        let Some(at) = self.roots.iter().position(|root| root.id == id) else { return };
        run(&mut self.roots[at]);
        if self.roots[at].end_if_due() {
            self.roots.swap_remove(at);
        }
    }

    /// Takes a request out.
    fn remove(&mut self, context: u32) -> Option<Open> {
        match self.newest {
            Some((newest, root)) if newest == context => {
                self.newest = None;
                Some(Open { root, request: Request::default() })
            }
            _ => self.requests.remove(&context),
        }
    }

    /// Takes a request out, with its root's worker.
    fn take(&mut self, context: u32) -> Option<(Request, &mut Worker<H>)> {
        let open = self.remove(context)?;
        let worker = find(&mut self.roots, open.root)?.worker()?;
        Some((open.request, worker))
    }
}

fn find<H>(roots: &mut [Root<H>], id: u32) -> Option<&mut Root<H>> {
    roots.iter_mut().find(|root| root.id == id)
}

/// The proxy counts its contexts' ids up; spread over the table they need no more than this.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, id: u32) {
        // Knuth's multiplicative hash: the table takes its tag from the top bits, its place from the low.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests;
