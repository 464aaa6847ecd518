//! Instructions per NIK: callgrind counts what runs inside `measured`.
//!
//! `script/bench instructions` runs this. It joins the counts with the lines printed here: name of
//! the case and number of NIKs.

mod cases;

use cases::{Case, Worker, all, regions};

fn main() {
    let regions = regions();
    let mut worker = Worker::new(regions.clone());
    for case in all(&regions) {
        // Warm up, so that all buffers have their final size.
        case.requests.iter().for_each(|request| worker.answer(request));
        measured(&mut worker, &case);
        println!("{}\t{}", case.name, case.requests.len() * case.size);
    }
}

#[inline(never)]
fn measured(worker: &mut Worker, case: &Case) {
    case.requests.iter().for_each(|request| worker.answer(request));
}
