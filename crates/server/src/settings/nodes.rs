//! `REPLICA_NODES`: the other nodes, in one of the forms that people write.

use anyhow::{Context, ensure};
use kvstore_client::Client;
use kvstore_types::limits::OTHER_NODES_MAX;
use serde::Deserialize;

use super::{Settings, Storage, environment::several_nodes};

const NAME: &str = "REPLICA_NODES";

/// An element of the JSON form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    url: String,
}

impl Settings {
    /// Clients of the other nodes, each once and without this one, in the order of the setting.
    ///
    /// # Errors
    /// The setting can't be used, or the storage is embedded.
    pub(crate) fn other_nodes(&self) -> anyhow::Result<Vec<Client>> {
        let Some(text) = self.replica_nodes.as_deref().map(str::trim).filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
        ensure!(self.storage == Storage::Postgres, "{}", several_nodes(NAME));
        let own = self.node_url.as_deref().and_then(|url| client(url).ok());
        let mut nodes: Vec<Client> = Vec::new();
        for url in urls(text)? {
            let node = client(&url).with_context(|| format!("{NAME} can't be used"))?;
            if own.iter().chain(&nodes).all(|known| known.url() != node.url()) {
                nodes.push(node);
            }
        }
        ensure!(nodes.len() <= OTHER_NODES_MAX, "{NAME} names {} other nodes; give at most {OTHER_NODES_MAX}", nodes.len());
        Ok(nodes)
    }
}

fn urls(text: &str) -> anyhow::Result<Vec<String>> {
    if text.starts_with('[') && text.ends_with(']') {
        let elements: Vec<Element> = serde_json::from_str(text)
            .with_context(|| format!("{NAME} is not a JSON array of {{\"url\": ...}}, or host:port with commas between"))?;
        return Ok(elements.into_iter().map(|element| element.url).collect());
    }
    Ok(text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect())
}

fn client(url: &str) -> Result<Client, kvstore_client::ClientError> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    Client::new(&url, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, node_url: Option<&str>) -> anyhow::Result<Vec<String>> {
        let settings = Settings {
            storage: Storage::Postgres,
            replica_nodes: Some(text.into()),
            node_url: node_url.map(Into::into),
            ..Settings::default()
        };
        Ok(settings.other_nodes()?.iter().map(|node| node.url().to_owned()).collect())
    }

    #[test]
    fn nodes_are_taken_in_each_form_that_people_write() {
        let expected = ["http://n2:8000", "http://n3"];
        for text in [
            "n2:8000,n3",
            " http://n2:8000/kv-store/v1 , n3:80,",
            r#"[{"url": "http://n2:8000/kv-store/v1/"}, {"url": "http://n3"}]"#,
            "n1:8000,n2:8000,n3,n2:8000",
        ] {
            assert_eq!(parsed(text, Some("http://n1:8000/kv-store/v1")).expect("nodes"), expected, "of {text}");
        }
        assert_eq!(parsed("[::1]:8000", None).expect("nodes"), ["http://[::1]:8000"], "brackets of an address are no JSON");
        assert!(parsed(" ", None).expect("none").is_empty());
    }

    #[test]
    fn what_names_no_node_is_refused_by_the_name_of_the_setting() {
        for text in ["https://n2", "n2:99999", "n2/?x=1", "[\"n2\"]", "[{\"url\": \"n2\", \"port\": 1}]"] {
            let said = format!("{:#}", parsed(text, None).expect_err(text));
            assert!(said.starts_with(NAME), "{text} said {said}");
        }
        let many = (0..=OTHER_NODES_MAX).map(|node| format!("n{node}")).collect::<Vec<_>>().join(",");
        assert!(parsed(&many, None).expect_err("too many").to_string().contains("at most"));
    }
}
