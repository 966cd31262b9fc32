//! What the proxy says of itself at the start: its node, its listener's direction, and where ids come from.

use crate::host::{Host, LogLevel};
use crate::ids::IdSource;
use crate::resource::Node;

/// Newer Envoys tell this to requests only, as `xds.listener_direction`.
pub fn listener_direction(host: impl Host) -> Option<u64> {
    host.property(&["listener_direction"]).ok()?.try_into().ok().map(u64::from_le_bytes)
}

/// The node, as its bootstrap names it.
pub fn node(host: impl Host) -> Node {
    let label = |name| text(host, &["metadata", "LABELS", name]);
    Node {
        id: text(host, &["id"]),
        cluster: text(host, &["cluster"]),
        canonical_name: label("service.istio.io/canonical-name"),
        app: label("app"),
        workload: text(host, &["metadata", "WORKLOAD_NAME"]),
        zone: text(host, &["locality", "zone"]),
        canonical_revision: label("service.istio.io/canonical-revision"),
        mesh_id: text(host, &["metadata", "MESH_ID"]),
        namespace: text(host, &["metadata", "NAMESPACE"]),
        cluster_id: text(host, &["metadata", "CLUSTER_ID"]),
    }
}

/// The node is at `xds.node`; in older Envoys at `node`.
fn text(host: impl Host, path: &[&str]) -> String {
    let newer = host.text_property(&[&["xds", "node"], path].concat());
    if newer.is_empty() { host.text_property(&[&["node"], path].concat()) } else { newer }
}

/// Ids from the proxy's entropy, else from what differs between workers.
pub fn ids(host: impl Host, context_id: u32, node: &Node) -> IdSource {
    if let Some(seed) = host.entropy() {
        return IdSource::seeded(seed);
    }
    let line = "no entropy from the host: ids are made of time and request ids";
    host.log(LogLevel::Warn, &line);
    let now = host.now_ns().to_le_bytes();
    IdSource::without_entropy(&[&now, &context_id.to_le_bytes(), node.id.as_bytes()])
}
