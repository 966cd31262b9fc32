//! The OTLP resource: which service and which proxy the spans are of.

use crate::config::Config;
use crate::encode::{Value, attribute};
use crate::{SCOPE_NAME, VERSION};

/// What stands as the service's name when nothing tells it.
pub const UNKNOWN_SERVICE: &str = "unknown_service:envoy";

/// What the proxy says of its node; an empty string is unknown.
#[derive(Debug, Default)]
pub struct Node {
    /// `node.id`
    pub id: String,
    /// `node.cluster`
    pub cluster: String,
    /// Istio: label `service.istio.io/canonical-name`
    pub canonical_name: String,
    /// Istio: label `app`
    pub app: String,
    /// Istio: metadata `WORKLOAD_NAME`
    pub workload: String,
    /// `node.locality.zone`
    pub zone: String,
    /// Istio: label `service.istio.io/canonical-revision`
    pub canonical_revision: String,
    /// Istio: metadata `MESH_ID`
    pub mesh_id: String,
    /// Istio: metadata `NAMESPACE`
    pub namespace: String,
    /// Istio: metadata `CLUSTER_ID`
    pub cluster_id: String,
}

/// The resource's attributes, each key once. The configuration wins over what the node says;
/// `service_name` wins over `service.name` in `resource_attributes`.
pub fn attributes<'a>(config: &'a Config, node: &'a Node) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<(&str, &str)> = Vec::with_capacity(8);
    let mut put =
        |key: &'a str, value: &'a str| match all.iter_mut().find(|(known, _)| *known == key) {
            _ if value.is_empty() => {}
            Some(known) => known.1 = value,
            None => all.push((key, value)),
        };
    put("service.name", service_name(node));
    put("service.instance.id", &node.id);
    put("telemetry.sdk.name", SCOPE_NAME);
    put("telemetry.sdk.language", "rust");
    put("telemetry.sdk.version", VERSION);
    config.resource_attributes.iter().for_each(|(key, value)| put(key, value));
    put("service.name", config.service_name.as_deref().unwrap_or_default());
    all
}

fn service_name(node: &Node) -> &str {
    [&node.canonical_name, &node.app, &node.workload, &node.cluster]
        .into_iter()
        .find(|name| !name.is_empty())
        .map_or(UNKNOWN_SERVICE, String::as_str)
}

/// Encodes a `Resource` message.
pub fn encode(attributes: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for (key, value) in attributes {
        attribute(&mut out, 1, key, &Value::from(*value));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn node() -> Node {
        Node {
            id: "sidecar~10.0.0.1~cart-7~shop".into(),
            cluster: "cart.shop".into(),
            canonical_name: "cart".into(),
            app: "cart-app".into(),
            workload: "cart-v2".into(),
            ..Node::default()
        }
    }

    fn name(config: &str, node: &Node) -> String {
        let config = Config::parse(config.as_bytes()).unwrap();
        value_of(&attributes(&config, node), "service.name")
    }

    /// The value of a key that is there once.
    fn value_of(all: &[(&str, &str)], key: &str) -> String {
        let mut values = all.iter().filter(|(known, _)| *known == key);
        let value = values.next().unwrap().1.to_owned();
        assert!(values.next().is_none(), "{key} twice");
        value
    }

    #[test]
    fn the_services_name_is_the_first_that_is_known() {
        let plain = r#"{"cluster":"b"}"#;
        let mut node = node();
        assert_eq!(name(plain, &node), "cart");
        node.canonical_name.clear();
        assert_eq!(name(plain, &node), "cart-app");
        node.app.clear();
        assert_eq!(name(plain, &node), "cart-v2");
        node.workload.clear();
        assert_eq!(name(plain, &node), "cart.shop");
        node.cluster.clear();
        assert_eq!(name(plain, &node), UNKNOWN_SERVICE);
    }

    #[test]
    fn the_configuration_wins_over_the_node() {
        let both = r#"{"cluster":"b","service_name":"mine",
            "resource_attributes":{"service.name":"other","service.instance.id":"i","team":"t"}}"#;
        let config = Config::parse(both.as_bytes()).unwrap();
        let node = node();
        let all = attributes(&config, &node);
        assert_eq!(value_of(&all, "service.name"), "mine");
        assert_eq!(value_of(&all, "service.instance.id"), "i");
        assert_eq!(value_of(&all, "team"), "t");
        assert_eq!(value_of(&all, "telemetry.sdk.language"), "rust");
        let one = r#"{"cluster":"b","resource_attributes":{"service.name":"other"}}"#;
        assert_eq!(name(one, &node), "other");
    }
}
