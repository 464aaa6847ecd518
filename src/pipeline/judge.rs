//! What judges requests, and how it is replaced while the program runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use nik::Date;
use nik_wire::process::Processor;

use super::timestamps::{RequestTime, TimestampLimits};

/// The day from which ages and centuries are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReferenceDate {
    /// The day of the record's timestamp.
    Record,
    Now,
    Date(Date),
}

impl ReferenceDate {
    /// The day, if it is the same for every request.
    pub fn fixed(self) -> Option<Date> {
        match self {
            Self::Date(day) => Some(day),
            Self::Record | Self::Now => None,
        }
    }
}

/// Which day a request is judged for.
#[derive(Clone, Copy, Debug)]
pub struct Dating {
    pub reference_date: ReferenceDate,
    pub timestamps: TimestampLimits,
}

impl Dating {
    /// The day for which a record is judged.
    pub fn date(&self, time: RequestTime) -> Date {
        match self.reference_date {
            ReferenceDate::Record => Date::from_unix_ms_jakarta(time.judged()),
            ReferenceDate::Now => Date::from_unix_ms_jakarta(time.now),
            ReferenceDate::Date(date) => date,
        }
    }
}

/// Rules, limits, privacy and region data, with the buffers to apply them.
#[derive(Clone)]
pub struct Judge {
    pub processor: Processor,
    pub dating: Dating,
    /// The value of the header `nik-judged-by`, if outcomes have that.
    pub judged_by: Option<Arc<str>>,
    /// How many judges were in force before.
    version: u64,
}

impl Judge {
    pub fn new(processor: Processor, dating: Dating, judged_by: Option<String>) -> Self {
        Self { processor, dating, judged_by: judged_by.map(Into::into), version: 0 }
    }
}

/// The judge in force. Each worker has a copy, which it exchanges between two epochs, so that all
/// outcomes of an epoch are by one judge. Each worker compares the version before every epoch, so a
/// partition that moves to another worker of this process is never judged by an earlier judge
/// again.
pub struct JudgeInForce {
    version: AtomicU64,
    judge: Mutex<Judge>,
}

impl JudgeInForce {
    pub fn new(judge: Judge) -> Self {
        Self { version: AtomicU64::new(judge.version), judge: Mutex::new(judge) }
    }

    pub fn copy(&self) -> Judge {
        self.judge.lock().clone()
    }

    pub fn replace(&self, judge: Judge) {
        let mut in_force = self.judge.lock();
        let version = in_force.version + 1;
        *in_force = Judge { version, ..judge };
        self.version.store(version, Ordering::Release);
    }

    /// Exchanges the copy if it is outdated.
    pub fn refresh(&self, copy: &mut Judge) {
        if self.version.load(Ordering::Acquire) != copy.version {
            *copy = self.copy();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nik::region::{Regions, RetiredCodes};
    use nik_wire::process::Settings;

    const LIMITS: TimestampLimits = TimestampLimits { earliest: 0, max_ahead: 0 };

    fn processor(min_age: u8) -> Processor {
        let regions = Regions::parse("", "", RetiredCodes::All).unwrap();
        Processor::new(Arc::new(regions), Settings { min_age, ..Settings::default() })
    }

    fn judge(min_age: u8) -> Judge {
        let dating = Dating { reference_date: ReferenceDate::Record, timestamps: LIMITS };
        Judge::new(processor(min_age), dating, None)
    }

    #[test]
    fn a_record_is_judged_for_its_own_day_unless_the_setting_says_otherwise() {
        let (then, now) = (951_760_000_000, 1_709_226_000_000); // 29 February 2000 and 1 March 2024 in Jakarta
        let day = |text| Date::parse(text).unwrap();
        let fixed = ReferenceDate::Date(day("2020-01-02"));
        for (reference_date, timestamp, expected) in [
            (ReferenceDate::Record, Some(then), "2000-02-29"),
            (ReferenceDate::Record, None, "2024-03-01"),
            (ReferenceDate::Now, Some(then), "2024-03-01"),
            (fixed, Some(then), "2020-01-02"),
        ] {
            let dating = Dating { reference_date, timestamps: LIMITS };
            assert_eq!(dating.date(LIMITS.time(timestamp, now)), day(expected));
        }
    }

    #[test]
    fn a_copy_is_exchanged_once_after_each_replacement() {
        let in_force = JudgeInForce::new(judge(0));
        let mut copy = in_force.copy();
        for min_age in [17, 18] {
            in_force.replace(judge(min_age));
            assert_ne!(copy.processor.settings().min_age, min_age);
            in_force.refresh(&mut copy);
            assert_eq!(copy.processor.settings().min_age, min_age);
        }
        // An up-to-date copy is kept, with its buffers.
        copy.processor = processor(99);
        in_force.refresh(&mut copy);
        assert_eq!(copy.processor.settings().min_age, 99);
    }
}
