//! The transform, in instructions: callgrind counts what runs inside `measured` and writes it down each time it returns.
//!
//! `script/bench instructions` runs it, and reads the counts beside the lines that this prints: name and number of NIKs.

mod cases;

use cases::{Case, Worker, all, regions};

fn main() {
    let regions = regions();
    let mut worker = Worker::new(regions.clone());
    for case in all(&regions) {
        // Buffers grow to their size.
        case.requests.iter().for_each(|request| worker.answer(request));
        measured(&mut worker, &case);
        println!("{}\t{}", case.name, case.requests.len() * case.size);
    }
}

#[inline(never)]
fn measured(worker: &mut Worker, case: &Case) {
    case.requests.iter().for_each(|request| worker.answer(request));
}
