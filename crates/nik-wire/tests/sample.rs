//! A handful of regions, and the shortest ways to ask, shared by the modules that judge.

use std::sync::Arc;

use nik::Date;
use nik::region::{RETIRED_HEADER, Regions, RetiredCodes};
use nik_wire::process::{Outcome, Processor, Settings};

const CURRENT: &str = "\
32\tJawa Barat
3273\tKota Bandung
327301\tSukasari
91\tPapua
9171\tKota Jayapura
917101\tJayapura Utara
";

/// 327302 was a kecamatan whose name nobody knows, 327303 is known by name.
const RETIRED: &str = "\
327302\t3\t\tbefore 2015\tbefore 2015\t\tgap\tcode high / name unknown\t
327303\t3\tCoblong\tbefore 2012\tbefore 2003\t327301\tgap+annex\thigh\t
";

pub fn regions() -> Regions {
    let retired = format!("{RETIRED_HEADER}\n{RETIRED}");
    Regions::parse(CURRENT, &retired, RetiredCodes::All).expect("the sample is well formed")
}

pub fn processor(settings: Settings) -> Processor {
    Processor::new(Arc::new(regions()), settings)
}

pub fn date(text: &str) -> Date {
    Date::parse(text).expect("tests give good dates")
}

/// The outcome of a request on 1 March 2024 under these settings, and its bytes.
pub fn answer_under(settings: Settings, request: &[u8]) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = processor(settings).process(Some(request), date("2024-03-01"), &mut out);
    (outcome, String::from_utf8(out).expect("outcomes are UTF-8"))
}

/// The outcome of a request on 1 March 2024 under the default settings, and its bytes.
pub fn answer(request: &str) -> (Outcome, String) {
    answer_under(Settings::default(), request.as_bytes())
}
