//! Dead letters sent again, each exactly once.
//!
//! Originals and what was replayed are committed in one transaction. What was replayed is a position of a group of its own in the
//! topic of failures, see `progress`; the group has no members, so the one transactional id is what keeps a second replay out.

use std::ops::ControlFlow;

use crate::kafka::client::error::CommandError;
use crate::kafka::dlq::batch::{Batch, Note, Ready, Sender};
use crate::kafka::dlq::letter::{Choice, DeadLetter, Place};
use crate::kafka::dlq::originals::Original;
use crate::kafka::dlq::progress::{Cursor, NOTE_LIMIT, Progress};
use crate::kafka::dlq::scan::{DeadLetterTopic, Seen};
use crate::kafka::security::acl::Operation;

/// What a replay is to do.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Which failures.
    pub choice: Choice,
    /// Of which partitions; of all, if none is named.
    pub partitions: Vec<i32>,
    /// The most to send.
    pub limit: Option<u64>,
    /// The most to send in a second; 0: no limit.
    pub rate: u32,
}

/// What a replay did, in failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Originals sent; at a dry run those that would be.
    pub sent: u64,
    /// Meant, and dealt with by a replay before: sent, or told to be lost.
    pub before: u64,
    /// Originals that nobody holds any more.
    pub lost: u64,
    /// Records that are no failures.
    pub foreign: u64,
    /// Not meant by the filters.
    pub left: u64,
}

/// What a replay tells of.
pub enum ReplayEvent<'a> {
    /// The original of this failure goes along with the next transaction; at a dry run, it would be sent.
    Sending(&'a DeadLetter),
    /// The original of this failure is lost.
    Lost(&'a DeadLetter),
    /// This record is no failure.
    Foreign(Place),
    /// So many originals are sent by now.
    Committed(u64),
}

/// Replays; without `send` it only tells what would be done.
pub fn replay(
    letters: &mut DeadLetterTopic,
    order: &ReplayOptions,
    send: bool,
    tell: &mut dyn FnMut(ReplayEvent<'_>) -> Result<(), CommandError>,
) -> Result<ReplaySummary, CommandError> {
    let partitions = letters.chosen(&order.partitions)?;
    let takes = letters.reader.partitions(&letters.requests, Operation::Write)?;
    // The producer first: it ends a transaction that a crash left open, and from here on no other replay commits.
    let mut sender = send.then(|| Sender::connect(letters, order.rate, takes)).transpose()?;
    let mut run = Run { order, sender: sender.as_mut(), account: ReplaySummary::default(), tell };
    let done = run.all(letters, &partitions).map(|()| run.account);
    if let Some(sender) = sender {
        sender.close();
    }
    done
}

struct Run<'a> {
    order: &'a ReplayOptions,
    sender: Option<&'a mut Sender>,
    account: ReplaySummary,
    tell: &'a mut dyn FnMut(ReplayEvent<'_>) -> Result<(), CommandError>,
}

impl Run<'_> {
    fn all(
        &mut self,
        letters: &mut DeadLetterTopic,
        partitions: &[i32],
    ) -> Result<(), CommandError> {
        let known = letters.reader.progress(&letters.topic, partitions)?;
        let mut plan = Vec::new();
        // What can be refused is refused before anything is sent, and what comes while this runs is left to the next run.
        for (partition, progress) in known {
            let (low, end) = letters.bounds(partition)?;
            self.check(letters, partition, &progress, end)?;
            plan.push((partition, progress, low, end));
        }
        for (partition, progress, low, end) in plan {
            let place = (partition, &progress, &self.order.choice);
            if self.partition(letters, place, low, end)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn check(
        &self,
        letters: &DeadLetterTopic,
        partition: i32,
        progress: &Progress,
        end: i64,
    ) -> Result<(), CommandError> {
        if progress.mark > end {
            return Err(CommandError::Ahead {
                topic: letters.topic.clone(),
                partition,
                mark: progress.mark,
                end,
                group: letters.clients.replay_name(),
            });
        }
        let choice = &self.order.choice;
        if !choice.is_everything() && progress.after_gaps(end, choice).note().len() > NOTE_LIMIT {
            return Err(CommandError::TooManyRules { partition, limit: NOTE_LIMIT });
        }
        Ok(())
    }

    fn partition(
        &mut self,
        letters: &mut DeadLetterTopic,
        note: Note<'_>,
        low: i64,
        end: i64,
    ) -> Result<ControlFlow<()>, CommandError> {
        let (partition, progress, _) = note;
        let mut cursor = Cursor::at(progress.mark.max(low));
        let mut batch = Batch::default();
        let flow = letters.read(partition, low, end, |seen, letters| {
            match seen {
                Seen::DeadLetter(letter) => {
                    return self.letter(letters, &letter, note, &mut cursor, &mut batch);
                }
                Seen::Foreign(place) if place.offset >= progress.mark => {
                    self.account.foreign += 1;
                    cursor.pass(place.offset);
                    (self.tell)(ReplayEvent::Foreign(place))?;
                }
                Seen::Foreign(_) => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(sender) = &mut self.sender {
            sender.deliver(&batch.ready, note)?;
            if flow.is_continue() {
                cursor.finish(end);
            }
            // Also where nothing is new: brokers forget the positions of a group that nobody renews.
            sender.commit(note, cursor)?;
            (self.tell)(ReplayEvent::Committed(sender.sent))?;
        }
        Ok(flow)
    }

    fn letter(
        &mut self,
        letters: &mut DeadLetterTopic,
        letter: &DeadLetter,
        note: Note<'_>,
        cursor: &mut Cursor,
        batch: &mut Batch,
    ) -> Result<ControlFlow<()>, CommandError> {
        let (_, progress, choice) = note;
        let (place, account) = (letter.place, &mut self.account);
        let is_meant = choice.holds(&letter.reason, letter.timestamp);
        if progress.has(letter) {
            account.before += u64::from(is_meant);
            if place.offset >= progress.mark {
                cursor.pass(place.offset);
            }
            return Ok(ControlFlow::Continue(()));
        }
        if !is_meant {
            account.left += 1;
            cursor.leave(place.offset);
            return Ok(ControlFlow::Continue(()));
        }
        if self.order.limit.is_some_and(|limit| account.sent >= limit) {
            return Ok(ControlFlow::Break(()));
        }
        cursor.pass(place.offset);
        let (Original::There(request) | Original::Kept(request)) = letters.original(letter)? else {
            // What nobody holds today nobody will hold tomorrow: it is told once, and stands in no replay's way.
            account.lost += 1;
            (self.tell)(ReplayEvent::Lost(letter))?;
            return Ok(ControlFlow::Continue(()));
        };
        account.sent += 1;
        (self.tell)(ReplayEvent::Sending(letter))?;
        if let Some(sender) = &mut self.sender {
            batch.add(Ready {
                place,
                partition: letter.request.place.partition,
                request,
                cursor: *cursor,
            });
            if batch.is_full(sender.batch) {
                sender.deliver(&std::mem::take(batch).ready, note)?;
                (self.tell)(ReplayEvent::Committed(sender.sent))?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
