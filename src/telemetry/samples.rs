//! A scrape's text read back: what other forms of the metrics, such as the live page, are made from, so that they cannot differ.
//!
//! It reads no text but that of this program's own metrics, so it needs little of the format, and no library for all of it.

/// One line of a scrape.
#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    /// As written, without the braces: `outcome="result",process="full"`.
    labels: &'a str,
    value: &'a str,
}

/// The samples of one scrape. What a scrape does not have is `None`, never 0.
#[derive(Debug)]
pub struct Samples<'a>(Vec<Sample<'a>>);

impl<'a> Samples<'a> {
    /// Reads the text that Prometheus scrapes.
    pub fn read(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
            let labels = labels.strip_suffix('}')?;
            Some(Sample { name, labels, value })
        });
        Self(samples.collect())
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Sample<'a>> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The value of a counter or a gauge that only holds whole numbers.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.of(name).next()?.value.parse().ok()
    }

    /// The sum over all samples whose label has this value.
    pub fn sum(&self, name: &str, label: &str, value: &str) -> Option<u64> {
        let values = self.labelled(name, label).filter(|(it, _)| *it == value);
        let values = values.filter_map(|(_, text)| text.parse::<u64>().ok());
        values.reduce(u64::saturating_add)
    }

    /// The values of one label, each with its sample's value as written.
    pub fn labelled(&self, name: &str, label: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.of(name)
            .filter_map(move |sample| Some((label_of(sample.labels, label)?, sample.value)))
    }

    /// A histogram: each bound with how many lie at or below it.
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let bucket =
            |(bound, count): (&str, &str)| Some((bound.parse().ok()?, count.parse().ok()?));
        self.labelled(&name, "le").filter_map(bucket).collect()
    }
}

/// The value of a label; those of this program hold no quotes.
fn label_of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let mut parts = labels.split('"');
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if name.trim_start_matches(',').strip_suffix('=') == Some(label) {
            return Some(value);
        }
    }
    None
}

/// The value below which a share `q` of a histogram lies, as Prometheus's `histogram_quantile` tells it; `None` of an empty one.
pub fn quantile(q: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = q * total;
    let at = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (bound, count) = buckets[at];
    let (below, before) = at.checked_sub(1).map_or((0.0, 0.0), |at| buckets[at]);
    // Nothing is known of what lies above the last bound but that.
    let is_known = bound.is_finite() && count > before;
    Some(if is_known {
        below + (bound - below) * (rank - before) / (count - before)
    } else {
        below
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total Some.
# TYPE a_total counter
a_total{outcome=\"result\",process=\"full\"} 3
a_total{outcome=\"result\",process=\"limited\"} 4
a_total{outcome=\"failure\",process=\"full\"} 5
age_seconds 1.5
h_seconds_bucket{le=\"0.1\"} 2
h_seconds_bucket{le=\"+Inf\"} 4
";

    #[test]
    fn samples_are_found_by_name_and_label() {
        let samples = Samples::read(TEXT);
        assert_eq!(samples.sum("a_total", "outcome", "result"), Some(7));
        assert_eq!(samples.sum("a_total", "process", "full"), Some(8));
        assert_eq!(samples.whole("a_total"), Some(3));
        assert_eq!(samples.buckets("h_seconds"), [(0.1, 2.0), (f64::INFINITY, 4.0)]);
    }

    #[test]
    fn what_is_not_there_is_not_nought() {
        let samples = Samples::read(TEXT);
        assert_eq!(samples.whole("b"), None);
        assert_eq!(samples.whole("age_seconds"), None);
        assert_eq!(samples.sum("a_total", "outcome", "other"), None);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets = [(1.0, 10.0), (2.0, 30.0), (f64::INFINITY, 40.0)];
        assert_eq!(quantile(0.125, &buckets), Some(0.5));
        assert_eq!(quantile(0.5, &buckets), Some(1.5));
        assert_eq!(quantile(0.99, &buckets), Some(2.0));
        assert_eq!(quantile(0.5, &[(1.0, 0.0)]), None);
        assert_eq!(quantile(0.5, &[]), None);
    }
}
