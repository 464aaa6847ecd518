//! In steady state no record allocates.
#![allow(unsafe_code)] // `GlobalAlloc` is an unsafe trait

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use nik_wire::generate::{Fault, Generator, Options};
use nik_wire::process::{Privacy, Settings};
use nik_wire::{Reason, TokenKey};

use crate::sample::{date, processor, regions};

/// Counts allocations per thread: crates for this count over all threads, and other tests run in
/// parallel.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller upholds the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn after_a_warm_up_no_record_allocates() {
    let settings = Settings::default();
    let options = Options {
        niks_per_request: 100,
        invalid: 0.3,
        unreadable: 0.1,
        claims: 0.5,
        mismatch: 0.5,
        ..Options::default()
    };
    let mut generator = Generator::new(&regions(), 3, options);
    let mut records: Vec<_> =
        Fault::ALL.map(|fault| generator.broken(fault, settings.limits)).into();
    records.push(Some(
        br#"{"nik":["\u0033273010101900001","\ud83d\ude00"],"\u0020":"\n","process":"f\u0075ll"}"#
            .into(),
    ));
    records.push(Some(
        br#"{"nik":[{"nik":"9101010101900001","are\u0061":"93\u00301"},{"nik":"\u0033273010101900001","birth_date":null}],"process":"explain"}"#
            .into(),
    ));
    for _ in 0..100 {
        let mut request = Vec::new();
        generator.request(&mut request);
        records.push(Some(request));
    }
    let key = TokenKey::new("a", &[7; 32]).unwrap();
    let tokens = Privacy { tokens: Some(key.into()), ..Privacy::default() };
    let [mut plain, mut private] =
        [Privacy::default(), tokens].map(|privacy| processor(settings).with_privacy(privacy));
    let mut out = Vec::new();
    let mut round = || {
        for record in &records {
            for processor in [&mut plain, &mut private] {
                processor.process(record.as_deref(), date("2024-03-01"), &mut out);
                processor.refuse(record.as_deref(), Reason::ResultTooLarge, true, &mut out);
            }
        }
    };
    round();
    let before = COUNT.get();
    assert!(before > 0, "allocations are counted");
    round();
    assert_eq!(COUNT.get() - before, 0);
}
