//! The manifest agrees with the built-in tables.

use nik::dataset::{self, CURRENT_TSV, RETIRED_TSV};
use nik::region::{Confidence, Level, Regions, RetiredCodes, State};
use nik_stream::regions::manifest;
use sha2::{Digest, Sha256};

#[test]
fn the_manifest_has_the_checksums_of_the_files() {
    let manifest = manifest().unwrap();
    let sha256 = |data: &[u8]| format!("{:x}", Sha256::digest(data));
    assert_eq!(
        manifest.files["current.tsv"],
        "0b0330ef85184dfda8c2dbb946cc9b7dc64ba3868da1a155707b0455b3016926"
    );
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/regions");
    assert_eq!(manifest.files.len(), 3);
    for (name, expected) in &manifest.files {
        assert_eq!(
            &sha256(&std::fs::read(format!("{folder}/{name}")).unwrap()),
            expected,
            "{name}"
        );
    }
    assert_eq!(manifest.sha256, sha256(format!("{CURRENT_TSV}{RETIRED_TSV}").as_bytes()));
    assert!(manifest.files.contains_key(&manifest.source.notice));
}

#[test]
fn the_manifest_has_the_counts_of_the_tables() {
    let manifest = manifest().unwrap();
    let tables = dataset::tables().unwrap();
    let regions = Regions::new(&tables, RetiredCodes::All);
    let counts = Level::ALL.map(|level| State::ALL.map(|state| regions.count(level, state)));
    assert_eq!(counts, [[38, 0], [514, 31], [7_285, 1_364]]);
    for (level, of_level) in Level::ALL.into_iter().zip(counts) {
        for (state, count) in State::ALL.into_iter().zip(of_level) {
            assert_eq!(manifest.counts[level.as_str()][state.as_str()], count);
        }
        for confidence in Confidence::ALL {
            let rows = tables.retired().iter().filter(|row| row.code.level() == level);
            let count = rows.filter(|row| row.confidence == confidence).count();
            let listed = manifest.retired_confidence.get(level.as_str());
            let listed = listed.and_then(|counts| counts.get(confidence.as_str()));
            assert_eq!(listed.copied().unwrap_or(0), count, "{level} {}", confidence.as_str());
        }
    }
}
