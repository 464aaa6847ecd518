//! The region data in the metrics.

use chrono::{NaiveDate, NaiveDateTime};
use prometheus::{IntGauge, IntGaugeVec, Registry};

use super::{gauges, register};

/// What the metrics say about the region data in use.
#[derive(Debug)]
pub struct RegionsInfo<'a> {
    /// The name of the release, such as `2025.1`.
    pub release: &'a str,
    pub sha256: &'a str,
    /// (level, state, number of codes)
    pub counts: Vec<(&'a str, &'a str, usize)>,
}

impl RegionsInfo<'_> {
    /// The middle of the release's year, in seconds since 1970, since its name gives no exact date.
    /// Without a year it is 0, which is old enough for the alert.
    fn middle_of_year(&self) -> i64 {
        let year = self.release.split('.').next().and_then(|it| it.parse().ok());
        let day = year.and_then(|year| NaiveDate::from_ymd_opt(year, 7, 1));
        day.map_or(0, |day| NaiveDateTime::from(day).and_utc().timestamp())
    }
}

pub(super) struct RegionGauges {
    info: IntGaugeVec,
    middle_of_year: IntGauge,
    codes: IntGaugeVec,
}

impl RegionGauges {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            info: gauges(
                registry,
                "nik_stream_regions_info",
                "Always 1; its labels are the release and the checksum of the region data in use.",
                &["release", "sha256"],
            ),
            middle_of_year: register(
                registry,
                IntGauge::new(
                    "nik_stream_regions_release_timestamp_seconds",
                    "The middle of the year that the region data's release is named after, in seconds since 1970; the name gives no exact date.",
                ),
            ),
            codes: gauges(
                registry,
                "nik_stream_regions",
                "Known region codes, by level and state.",
                &["level", "state"],
            ),
        }
    }

    pub(super) fn set(&self, regions: &RegionsInfo<'_>) {
        self.info.reset(); // the labels of the data before
        self.info.with_label_values(&[regions.release, regions.sha256]).set(1);
        self.middle_of_year.set(regions.middle_of_year());
        for &(level, state, count) in &regions.counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.codes.with_label_values(&[level, state]).set(count);
        }
    }
}
