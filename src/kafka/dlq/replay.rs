//! Replays dead letters: sends their originals again, each exactly once; or dismisses them, which
//! only records that they are done.
//!
//! The originals and the progress are committed in one transaction. The progress is an offset that
//! a group without members commits in the failures topic (see `progress`); all replays share one
//! transactional id, which fences a second one.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::kafka::dlq::batch::{Batch, Ready, Sender, Task};
use crate::kafka::dlq::dead_letter::{DeadLetter, Filter};
use crate::kafka::dlq::error::DlqError;
use crate::kafka::dlq::originals::{OriginalLocation, Originals};
use crate::kafka::dlq::progress::{self, Choice, Cursor, METADATA_LIMIT, Progress};
use crate::kafka::dlq::scan::{DeadLetterTopic, Scanned};
use crate::kafka::security::acl::Operation;
use crate::pipeline::Position;

#[derive(Clone, Debug)]
pub struct ReplayOptions {
    pub filter: Filter,
    /// Partitions of the failures topic; empty: all.
    pub partitions: Vec<i32>,
    /// Places in the failures topic; empty: any. Each must hold a dead letter.
    pub places: BTreeSet<Position>,
    /// Dismisses the dead letters for this reason instead of replaying them.
    pub dismiss: Option<String>,
    /// How many requests are sent at most.
    pub limit: Option<u64>,
    /// Requests per second at most; 0: unlimited.
    pub rate: u32,
}

impl ReplayOptions {
    fn choice(&self, partition: i32) -> Choice {
        let of_it = self.places.iter().filter(|place| place.partition == partition);
        Choice {
            filter: self.filter.clone(),
            offsets: (!self.places.is_empty()).then(|| of_it.map(|place| place.offset).collect()),
            why: self.dismiss.clone(),
        }
    }
}

/// How many records of the failures topic a replay has dealt with, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Sent or dismissed; in a dry run: would be.
    pub chosen: u64,
    /// Match the filter, but an earlier run has sent them, reported them as lost or dismissed them.
    pub already_done: u64,
    /// The original is gone.
    pub lost: u64,
    /// Written by another program.
    pub foreign: u64,
    pub filtered_out: u64,
}

pub enum ReplayEvent<'a> {
    /// The next transaction will contain the original, or the note of its dismissal; in a dry run:
    /// would contain it.
    Chosen(&'a DeadLetter),
    /// The original is gone.
    Lost(&'a DeadLetter),
    /// This record is not a dead letter.
    Foreign(Position),
    /// This many dead letters have been replayed or dismissed so far.
    Committed(u64),
}

/// Is called with each event of a replay. If it returns an error, the replay ends with that.
pub type Observer<'a> = dyn FnMut(ReplayEvent<'_>) -> std::io::Result<()> + 'a;

/// Replays, or only reports what a replay would do if `dry_run` is set.
pub fn replay(
    topic: &mut DeadLetterTopic,
    options: &ReplayOptions,
    dry_run: bool,
    observer: &mut Observer<'_>,
) -> Result<ReplaySummary, DlqError> {
    let partitions = topic.choose(&options.partitions, &options.places)?;
    let request_partitions = match options.dismiss {
        Some(_) => 0, // a dismissal sends nothing
        None => topic.reader.partitions(&topic.requests, Operation::Write)?,
    };
    // The producer is created first: it aborts the transaction of a replay that crashed, and fences
    // every other replay.
    let mut sender = if dry_run {
        None
    } else {
        Some(Sender::connect(topic, options.rate, request_partitions)?)
    };
    let originals = topic.originals()?;
    let summary = ReplaySummary::default();
    let mut run = Run { options, sender: sender.as_mut(), originals, summary, observer };
    let outcome = run.run(topic, &partitions).map(|()| run.summary);
    if let Some(sender) = sender {
        sender.close();
    }
    outcome
}

/// Whether a replay has reached its limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    LimitReached,
}

struct Run<'a> {
    options: &'a ReplayOptions,
    /// `None` in a dry run.
    sender: Option<&'a mut Sender>,
    originals: Originals,
    summary: ReplaySummary,
    observer: &'a mut Observer<'a>,
}

impl Run<'_> {
    fn run(&mut self, topic: &mut DeadLetterTopic, partitions: &[i32]) -> Result<(), DlqError> {
        let mut plan = Vec::new();
        // All partitions are checked before anything is sent, and records that arrive from now on
        // are left to the next run.
        for (partition, mut progress) in progress::load(&topic.reader, &topic.name, partitions)? {
            let offsets = topic.offsets(partition)?;
            progress.forget_before(offsets.start);
            let choice = self.options.choice(partition);
            check(topic, partition, &progress, &choice, offsets.end)?;
            plan.push((partition, progress, choice, offsets));
        }
        for (partition, progress, choice, offsets) in &plan {
            let start = progress.committed.max(offsets.start);
            let task = Task { partition: *partition, progress, start, choice };
            if self.partition(topic, task, offsets.clone())? == Flow::LimitReached {
                break;
            }
        }
        Ok(())
    }

    fn partition(
        &mut self,
        topic: &mut DeadLetterTopic,
        task: Task<'_>,
        offsets: Range<i64>,
    ) -> Result<Flow, DlqError> {
        let committed = task.progress.committed;
        let end = offsets.end;
        let mut cursor = Cursor::at(task.start);
        let mut batch = Batch::default();
        let mut flow = Flow::Continue;
        for record in topic.records(task.partition, offsets)? {
            match record? {
                Scanned::DeadLetter(dead_letter) => {
                    let done = self.dead_letter(&dead_letter, task, &mut cursor, &mut batch);
                    if let (Err(DlqError::OtherTopic { .. }), Some(sender)) =
                        (&done, &mut self.sender)
                    {
                        sender.deliver(&batch.ready, task)?; // what precedes it is sent
                    }
                    flow = done?;
                }
                Scanned::Foreign(position) if position.offset >= committed => {
                    self.summary.foreign += 1;
                    cursor.mark_done(position.offset);
                    (self.observer)(ReplayEvent::Foreign(position))?;
                }
                Scanned::Foreign(_) => {}
            }
            if flow == Flow::LimitReached {
                break;
            }
        }
        if let Some(sender) = &mut self.sender {
            sender.deliver(&batch.ready, task)?;
            if flow == Flow::Continue {
                cursor.finish(end);
            }
            // Commits even without progress, since the brokers delete committed offsets that are
            // not renewed.
            sender.commit(task, cursor)?;
            (self.observer)(ReplayEvent::Committed(self.summary.chosen))?;
        }
        Ok(flow)
    }

    fn dead_letter(
        &mut self,
        dead_letter: &DeadLetter,
        task: Task<'_>,
        cursor: &mut Cursor,
        batch: &mut Batch,
    ) -> Result<Flow, DlqError> {
        let (position, summary) = (dead_letter.position, &mut self.summary);
        let is_selected = task.choice.has(position.offset, dead_letter.traits());
        if task.progress.is_done(position.offset, dead_letter.traits()) {
            summary.already_done += u64::from(is_selected);
            if position.offset >= task.progress.committed {
                cursor.mark_done(position.offset);
            }
            return Ok(Flow::Continue);
        }
        if !is_selected {
            summary.filtered_out += 1;
            cursor.leave_out(position.offset);
            return Ok(Flow::Continue);
        }
        if self.options.limit.is_some_and(|limit| summary.chosen >= limit) {
            return Ok(Flow::LimitReached);
        }
        cursor.mark_done(position.offset);
        if self.options.dismiss.is_some() {
            summary.chosen += 1;
            (self.observer)(ReplayEvent::Chosen(dead_letter))?;
            return Ok(Flow::Continue);
        }
        let original = match self.originals.fetch(dead_letter)? {
            (_, Some(original)) => original,
            (OriginalLocation::OtherTopic, None) => return Err(DlqError::OtherTopic { position }),
            (_, None) => {
                // It counts as done: a later replay could not find the original either.
                summary.lost += 1;
                (self.observer)(ReplayEvent::Lost(dead_letter))?;
                return Ok(Flow::Continue);
            }
        };
        summary.chosen += 1;
        (self.observer)(ReplayEvent::Chosen(dead_letter))?;
        if let Some(sender) = &mut self.sender {
            let partition = dead_letter.request.position.partition;
            batch.add(Ready { position, partition, original, cursor: *cursor });
            if batch.is_full(sender.batch_records) {
                sender.deliver(&std::mem::take(batch).ready, task)?;
                (self.observer)(ReplayEvent::Committed(summary.chosen))?;
            }
        }
        Ok(Flow::Continue)
    }
}

/// Refuses progress that cannot be right, and a choice that the metadata has no room for.
fn check(
    topic: &DeadLetterTopic,
    partition: i32,
    progress: &Progress,
    choice: &Choice,
    end: i64,
) -> Result<(), DlqError> {
    let committed = progress.committed;
    if committed > end {
        let (topic, group) = (topic.name.clone(), topic.clients.replay_name());
        return Err(DlqError::BeyondEnd { topic, partition, committed, end, group });
    }
    let matches_all = choice.filter.matches_all() && choice.offsets.is_none();
    let metadata = progress.with_gaps_until(end, choice).metadata();
    if !matches_all && metadata.len() > METADATA_LIMIT {
        return Err(DlqError::TooManyFilters { partition, limit: METADATA_LIMIT });
    }
    Ok(())
}
