//! Envoy's configuration as a tree, for tests that change it beyond what `Setup` knows: another filter, a tracer, routes.

use super::parts;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Where the examples expect the filter.
const FILTER: &str = "/etc/envoy/spanferry_filter.wasm";

/// A configuration of Envoy with one listener.
#[derive(Clone, Debug)]
pub struct Bootstrap(pub Value);

impl Bootstrap {
    /// Reads YAML or JSON.
    pub fn parse(text: &str) -> Result<Bootstrap> {
        Ok(Bootstrap(serde_saphyr::from_str(text).context("Envoy's configuration")?))
    }

    /// An example of `envoy/` with this machine's filter in it.
    pub fn example(name: &str) -> Result<Bootstrap> {
        let path = parts::root().join("envoy").join(name);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Bootstrap::parse(&text.replace(FILTER, &parts::filter()?.display().to_string()))
    }

    /// Lets the listener and the admin interface have these addresses.
    pub fn listen(&mut self, listener: SocketAddr, admin: SocketAddr) -> Result<()> {
        *self.at("/static_resources/listeners/0/address/socket_address")? = socket(listener);
        *self.at("/admin/address/socket_address")? = socket(admin);
        Ok(())
    }

    /// Lets a cluster's only host have this address.
    pub fn resolve(&mut self, cluster: &str, host: SocketAddr) -> Result<()> {
        const ADDRESS: &str =
            "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        let found = self.cluster(cluster)?.pointer_mut(ADDRESS);
        *found.with_context(|| format!("{cluster} has no host"))? = socket(host);
        Ok(())
    }

    /// JSON, which is YAML too.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// What is at a JSON pointer.
    pub fn at(&mut self, pointer: &str) -> Result<&mut Value> {
        self.0
            .pointer_mut(pointer)
            .with_context(|| format!("Envoy's configuration has no {pointer}"))
    }

    /// The HTTP connection manager of the listener.
    pub fn connection_manager(&mut self) -> Result<&mut Value> {
        self.at("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
    }

    /// The HTTP filters, the router last.
    pub fn http_filters(&mut self) -> Result<&mut Vec<Value>> {
        let filters = self.connection_manager()?["http_filters"].as_array_mut();
        filters.context("http_filters is no list")
    }

    /// The plugin's configuration of the wasm filter (`PluginConfig`), which is the first.
    pub fn plugin(&mut self) -> Result<&mut Value> {
        let filter = self.http_filters()?.first_mut().context("no filter")?;
        filter.pointer_mut("/typed_config/config").context("the first filter is no wasm filter")
    }

    /// The routes of the only virtual host.
    pub fn routes(&mut self) -> Result<&mut Value> {
        let routes = "/route_config/virtual_hosts/0/routes";
        self.connection_manager()?.pointer_mut(routes).context("no routes")
    }

    /// The cluster of this name.
    pub fn cluster(&mut self, name: &str) -> Result<&mut Value> {
        let clusters = self.at("/static_resources/clusters")?.as_array_mut();
        let mut clusters = clusters.context("clusters is no list")?.iter_mut();
        clusters
            .find(|cluster| cluster["name"] == name)
            .with_context(|| format!("no cluster {name}"))
    }

    /// Speaks HTTP/2 to this cluster, as gRPC needs it.
    pub fn speak_http2(&mut self, name: &str) -> Result<()> {
        const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        self.cluster(name)?["typed_extension_protocol_options"] = json!({ OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": { "http2_protocol_options": {} },
        }});
        Ok(())
    }
}

fn socket(address: SocketAddr) -> Value {
    json!({ "address": address.ip().to_string(), "port_value": address.port() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_configuration_has_what_tests_change() {
        let mut shared = Bootstrap::parse(include_str!("../../envoy/envoy.yaml")).unwrap();
        assert_eq!(shared.plugin().unwrap()["failure_policy"], "FAIL_OPEN");
        assert_eq!(shared.http_filters().unwrap().len(), 2);
        assert!(shared.routes().unwrap().is_array());
        shared.speak_http2("spanferry_bridge").unwrap();
        assert!(shared.cluster("nobody").is_err());
    }
}
