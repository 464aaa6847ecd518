//! The region tables and the lookup in them.

use nik_stream::dataset;
use nik_stream::region::{Level, RetiredCodes, State};

#[test]
fn the_tables_hold_every_code_in_force_and_every_known_retired_one() {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let count = |state| Level::ALL.map(|level| regions.count(level, state));
    assert_eq!(count(State::Current), [38, 514, 7_285]);
    assert_eq!(count(State::Retired), [0, 31, 1_364]);
    assert_eq!(regions.len(), 7_285 + 1_364);
}
