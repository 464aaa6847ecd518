//! Where traces go.

use super::reader::Reader;
use super::rule::{optional, whole};

/// Where OTLP over HTTP accepts spans, below the address of a collector.
const PATH: &str = "/v1/traces";

#[derive(Clone, Debug)]
pub struct Traces {
    pub endpoint: Option<String>,
    pub max_per_second: u32,
}

impl Traces {
    pub(super) fn read(keys: &mut Reader) -> Self {
        Self {
            endpoint: keys.read("traces.endpoint", optional()),
            max_per_second: keys.read("traces.max_per_second", whole(1..=100_000)),
        }
    }

    /// Where spans are sent; `None`: nowhere.
    pub fn url(&self) -> Option<String> {
        let base = self.endpoint.as_deref()?.trim_end_matches('/');
        Some(if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_unless_the_endpoint_ends_with_it() {
        let url = |endpoint: &str| {
            Traces { endpoint: Some(endpoint.to_owned()), max_per_second: 1 }.url().unwrap()
        };
        for endpoint in ["http://a:4318", "http://a:4318/", "http://a:4318/v1/traces"] {
            assert_eq!(url(endpoint), "http://a:4318/v1/traces");
        }
        assert_eq!(url("http://a/otlp"), "http://a/otlp/v1/traces");
    }
}
