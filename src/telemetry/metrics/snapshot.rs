//! The values of all metrics at one moment. The live page and `/metrics` are both made from it, so
//! they agree.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Metric, MetricFamily, MetricType};

/// Every metric with its value. A metric that does not exist is `None`, never 0.
#[derive(Debug)]
pub struct Snapshot(pub(super) Vec<MetricFamily>);

impl Snapshot {
    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.0)
            .unwrap_or_else(|error| format!("# metrics cannot be written: {error}\n"))
    }

    /// The value of a counter or gauge without labels, rounded down.
    pub fn value(&self, name: &str) -> Option<u64> {
        let family = self.family(name)?;
        family.get_metric().first().map(|metric| whole(value(family, metric)))
    }

    /// The sum over all metrics of this name whose label has this value.
    pub fn sum(&self, name: &str, label: &str, value: &str) -> Option<u64> {
        let values = self.by_label(name, label).filter(|(it, _)| *it == value);
        values.map(|(_, value)| whole(value)).reduce(u64::saturating_add)
    }

    /// Each value of a label with the value of its metric.
    pub fn by_label(&self, name: &str, label: &str) -> impl Iterator<Item = (&str, f64)> {
        self.family(name).into_iter().flat_map(move |family| {
            family.get_metric().iter().filter_map(move |metric| {
                let label = metric.get_label().iter().find(|it| it.name() == label)?;
                Some((label.value(), value(family, metric)))
            })
        })
    }

    /// As [`Self::by_label`], as whole numbers.
    pub fn counts(&self, name: &str, label: &str) -> BTreeMap<&str, u64> {
        self.by_label(name, label).map(|(label, value)| (label, whole(value))).collect()
    }

    /// The values of a metric with two labels, as whole numbers: by the outer label, then by the
    /// inner one.
    pub fn nested_counts(
        &self,
        name: &str,
        outer: &str,
        inner: &str,
    ) -> BTreeMap<&str, BTreeMap<&str, u64>> {
        let mut counts = BTreeMap::<&str, BTreeMap<&str, u64>>::new();
        let Some(family) = self.family(name) else {
            return counts;
        };
        for metric in family.get_metric() {
            let label = |name| metric.get_label().iter().find(|it| it.name() == name);
            if let (Some(outer), Some(inner)) = (label(outer), label(inner)) {
                let inner_counts = counts.entry(outer.value()).or_default();
                inner_counts.insert(inner.value(), whole(value(family, metric)));
            }
        }
        counts
    }

    /// The buckets of a histogram without labels: each upper bound with the number of observations
    /// up to it.
    pub fn buckets(&self, name: &str) -> Vec<(f64, u64)> {
        let metric = self.family(name).and_then(|family| family.get_metric().first());
        let Some(histogram) = metric.map(Metric::get_histogram) else {
            return Vec::new();
        };
        let buckets = histogram.get_bucket().iter();
        let buckets = buckets.map(|it| (it.upper_bound(), it.cumulative_count()));
        buckets.chain([(f64::INFINITY, histogram.get_sample_count())]).collect()
    }

    fn family(&self, name: &str) -> Option<&MetricFamily> {
        self.0.iter().find(|family| family.name() == name)
    }
}

fn value(family: &MetricFamily, metric: &Metric) -> f64 {
    match family.get_field_type() {
        MetricType::COUNTER => metric.get_counter().get_value(),
        _ => metric.get_gauge().get_value(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and sizes")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// The value below which a share `q` of the observations lies, interpolated like Prometheus's
/// `histogram_quantile`; `None` without observations.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn quantile(q: f64, buckets: &[(f64, u64)]) -> Option<f64> {
    let total = buckets.last().map(|it| it.1).filter(|total| *total > 0)?;
    let rank = q * total as f64;
    let at = buckets.iter().position(|(_, count)| *count as f64 >= rank)?;
    let (bound, count) = buckets[at];
    let (lower_bound, count_below) = at.checked_sub(1).map_or((0.0, 0), |at| buckets[at]);
    // The last bucket has no upper bound to interpolate to.
    let interpolates = bound.is_finite() && count > count_below;
    Some(if interpolates {
        let share = (rank - count_below as f64) / (count - count_below) as f64;
        lower_bound + (bound - lower_bound) * share
    } else {
        lower_bound
    })
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

    use super::*;

    fn snapshot() -> Snapshot {
        let registry = Registry::new();
        let labels = ["outcome", "process"];
        let requests = IntCounterVec::new(Opts::new("a_total", "Some."), &labels).unwrap();
        let requests_of = |outcome, process| requests.with_label_values(&[outcome, process]);
        requests_of("result", "full").inc_by(3);
        requests_of("result", "limited").inc_by(4);
        requests_of("failure", "full").inc_by(5);
        let commits = IntCounter::new("b_total", "Some.").unwrap();
        commits.inc();
        let options = HistogramOpts::new("h_seconds", "Some.").buckets(vec![0.1, 1.0]);
        let seconds = Histogram::with_opts(options).unwrap();
        seconds.observe(0.05);
        seconds.observe(5.0);
        registry.register(Box::new(requests)).unwrap();
        registry.register(Box::new(commits)).unwrap();
        registry.register(Box::new(seconds)).unwrap();
        Snapshot(registry.gather())
    }

    #[test]
    fn metrics_are_found_by_name_and_label() {
        let snapshot = snapshot();
        assert_eq!(snapshot.sum("a_total", "outcome", "result"), Some(7));
        assert_eq!(snapshot.sum("a_total", "process", "full"), Some(8));
        let nested = snapshot.nested_counts("a_total", "outcome", "process");
        assert_eq!(nested["result"], BTreeMap::from([("full", 3), ("limited", 4)]));
        assert_eq!(nested["failure"], BTreeMap::from([("full", 5)]));
        assert_eq!(snapshot.value("b_total"), Some(1));
        assert_eq!(snapshot.buckets("h_seconds"), [(0.1, 1), (1.0, 1), (f64::INFINITY, 2)]);
        assert!(snapshot.text().contains("\nb_total 1\n"));
    }

    #[test]
    fn a_metric_that_does_not_exist_is_not_zero() {
        let snapshot = snapshot();
        assert_eq!(snapshot.value("c_total"), None);
        assert_eq!(snapshot.sum("a_total", "outcome", "other"), None);
        assert_eq!(snapshot.buckets("c_seconds"), []);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets = [(1.0, 10), (2.0, 30), (f64::INFINITY, 40)];
        assert_eq!(quantile(0.125, &buckets), Some(0.5));
        assert_eq!(quantile(0.5, &buckets), Some(1.5));
        assert_eq!(quantile(0.99, &buckets), Some(2.0));
        assert_eq!(quantile(0.5, &[(1.0, 0)]), None);
        assert_eq!(quantile(0.5, &[]), None);
    }
}
