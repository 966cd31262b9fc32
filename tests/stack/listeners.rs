//! Envoy's listener in a file that Envoy follows (LDS), so that its configuration can change at run time.

use super::bootstrap::Bootstrap;
use super::envoy::Envoy;
use super::wait::eventually;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// The file and what is in it.
pub struct Listeners {
    file: PathBuf,
    bootstrap: Bootstrap,
    /// How often it was written.
    version: u64,
}

impl Listeners {
    /// Moves the listener of a bootstrap into a file in `directory`.
    pub fn split(bootstrap: &mut Bootstrap, directory: &Path) -> Result<Listeners> {
        let file = directory.join("listeners.json");
        let mut listeners = Listeners { file, bootstrap: bootstrap.clone(), version: 0 };
        listeners.write()?;
        bootstrap.at("/static_resources")?["listeners"] = json!([]);
        bootstrap.0["dynamic_resources"] = json!({ "lds_config": {
            "path_config_source": { "path": listeners.file },
            "resource_api_version": "V3",
        }});
        Ok(listeners)
    }

    /// Changes the plugin's configuration, and waits until Envoy has taken it and the old listener is gone.
    pub async fn reconfigure(&mut self, envoy: &Envoy, plugin: &str) -> Result<()> {
        self.bootstrap.plugin()?["configuration"]["value"] = plugin.into();
        self.write()?;
        let version = self.version;
        eventually("Envoy to take the listener", LIMIT, async || {
            let stats = envoy.stats().await?;
            let count = |name: &str| stats.count(&format!("listener_manager.{name}"));
            ensure!(count("lds.update_rejected") == 0, "{}", envoy.log());
            let is_taken = count("lds.update_success") >= version;
            let draining =
                count("total_filter_chains_draining") + count("total_listeners_draining");
            Ok((is_taken && draining == 0).then_some(()))
        })
        .await
    }

    /// Envoy follows the directory: it sees a file that is renamed into place, whole.
    fn write(&mut self) -> Result<()> {
        self.version += 1;
        let mut listener = self.bootstrap.at("/static_resources/listeners/0")?.clone();
        listener["@type"] = Value::from("type.googleapis.com/envoy.config.listener.v3.Listener");
        let response = json!({ "version_info": self.version.to_string(), "resources": [listener] });
        let next = self.file.with_extension("next");
        std::fs::write(&next, response.to_string())?;
        Ok(std::fs::rename(next, &self.file)?)
    }
}
