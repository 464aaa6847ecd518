//! The program: what one worker does next, as `src/kafka/stream` does it, with each safeguard as a switch.

use super::cluster::{Call, Cluster, Ending, Membership, Name, Partition, Refusal, Request};
use super::start::start;

/// How many requests wait in the partition.
pub const REQUESTS: u8 = 2;

/// What the program does against the known holes. Each can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Safeguards {
    /// After a transaction with an unanswered request the producer is replaced before anything else begins.
    pub replaced_producer: bool,
    /// An epoch commits with the group metadata fetched before its first poll, not before its commit.
    pub membership_first: bool,
    /// A process never begins behind what it committed itself.
    pub own_floor: bool,
    /// Positions are also written to a topic of ours, in the same transaction.
    pub ledger: bool,
    /// An entry that an open transaction may hide is waited for, even if the visible one agrees with the group.
    pub patient_ledger: bool,
    /// An aborted transaction is ended again in all its partitions, by an empty transaction.
    pub sweep: bool,
    /// A worker calls `init_transactions` before it joins the group.
    pub init_first: bool,
    /// A new producer ends the last transaction of its id again, in the same way.
    pub settle: bool,
    /// The owner of the partition does that for a producer that is dead.
    pub take_over: bool,
    /// After the coordinator was away, the producer is replaced before anything else begins.
    pub renewed_producer: bool,
    /// A transaction that has begun does not reach a coordinator that was away since the one before it.
    pub held_back_begin: bool,
}

impl Safeguards {
    pub const ALL: Self = Self {
        replaced_producer: true,
        membership_first: true,
        own_floor: true,
        ledger: true,
        patient_ledger: true,
        sweep: true,
        init_first: true,
        settle: true,
        take_over: true,
        renewed_producer: true,
        held_back_begin: true,
    };
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its process has died.
    Dead,
    Init,
    Poll,
    /// It must not read its partition.
    Standing,
    Add(Partition),
    Produce(Partition),
    AddOffsets,
    CommitOffsets,
    End(Ending),
}

/// A worker and its two clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Worker {
    pub stage: Stage,
    /// Whether it does not start again.
    pub is_gone: bool,
    /// The producer's epoch; `None` without a producer.
    pub epoch: Option<u8>,
    /// The next sequence numbers, by [`Partition`].
    pub sequences: [u8; 3],
    /// Whether the consumer has joined the group.
    pub subscribed: bool,
    /// Whether the worker reads the partition; it may not know yet that it lost it.
    pub assigned: bool,
    /// The request to read next.
    pub next: u8,
    /// What this process committed itself.
    pub own: Option<u8>,
    /// The group metadata of the open epoch.
    pub membership: Membership,
    /// Whether a transactional request ended without an answer since the producer's start.
    pub unanswered: bool,
    /// Whether the coordinator was away since the producer's start.
    pub doubtful: bool,
    /// Whether the request of this stage was sent and not answered.
    pub waits: bool,
    /// The request whose aborted outcome may lack a marker.
    unswept: Option<u8>,
    /// How this process knows that its last transaction ended.
    pub known: Option<Ending>,
    /// Whether the open transaction is a sweep.
    sweeping: bool,
}

impl Worker {
    /// A running worker that has joined the group.
    pub fn new(assigned: bool) -> Self {
        Self { stage: Stage::Poll, epoch: Some(0), subscribed: true, assigned, ..Self::dead() }
    }

    pub fn dead() -> Self {
        Self {
            stage: Stage::Dead,
            is_gone: false,
            epoch: None,
            sequences: [0; 3],
            subscribed: false,
            assigned: false,
            next: 0,
            own: None,
            membership: Membership::Stale,
            unanswered: false,
            doubtful: false,
            waits: false,
            unswept: None,
            known: None,
            sweeping: false,
        }
    }

    pub fn is_up(&self) -> bool {
        self.stage != Stage::Dead
    }

    /// Whether a transaction is open that may still be aborted.
    ///
    /// Without an answer to a Produce request the program restarts instead of aborting (librdkafka would raise the epoch).
    pub fn can_abort(&self) -> bool {
        match self.stage {
            Stage::Produce(_) => !self.waits && !self.sweeping,
            Stage::Add(_) | Stage::AddOffsets | Stage::CommitOffsets => !self.sweeping,
            _ => false,
        }
    }

    /// The request of this stage, if it is one that a client may repeat.
    pub fn request(
        &self,
        from: Name,
        cluster: &Cluster,
        safeguards: Safeguards,
    ) -> Option<Request> {
        let call = match self.stage {
            Stage::Add(partition) => Call::AddPartitionsToTxn(partition),
            Stage::Produce(partition) => {
                let sequence = self.sequences[partition as usize];
                let value = if partition == Partition::Ledger { self.next + 1 } else { self.next };
                Call::Produce { partition, sequence, value }
            }
            Stage::AddOffsets => Call::AddOffsetsToTxn,
            Stage::CommitOffsets => {
                let membership = if safeguards.membership_first {
                    self.membership
                } else {
                    membership(from, cluster)
                };
                Call::TxnOffsetCommit { position: self.next + 1, membership }
            }
            Stage::End(ending) => Call::EndTxn(ending),
            _ => return None,
        };
        Some(Request { from, epoch: self.epoch?, call })
    }

    /// Continues after the answer to the request of this stage.
    pub fn answered(&mut self, answer: Result<(), Refusal>, safeguards: Safeguards) {
        if answer != Err(Refusal::Busy) {
            self.waits = false;
        }
        self.stage = match (self.stage, answer) {
            (stage, Err(Refusal::Busy)) => stage,
            (Stage::Add(partition), Ok(())) if self.sweeping => after(partition, safeguards),
            (Stage::AddOffsets, Ok(())) if self.sweeping => Stage::End(Ending::Abort),
            (Stage::Add(partition), Ok(())) => Stage::Produce(partition),
            (Stage::Produce(partition), Ok(())) => {
                self.sequences[partition as usize] += 1;
                if safeguards.sweep {
                    self.unswept = Some(self.next);
                }
                after(partition, safeguards)
            }
            (Stage::AddOffsets, Ok(())) => Stage::CommitOffsets,
            (Stage::CommitOffsets, Ok(())) => Stage::End(Ending::Commit),
            (Stage::End(ending), Ok(())) => return self.ended(ending, safeguards),
            (_, Err(Refusal::Fenced)) | (Stage::End(_), Err(_)) => {
                self.known = self.known.filter(|it| *it == Ending::Abort); // a rival may have committed or aborted
                return self.restart(safeguards);
            }
            _ => Stage::End(Ending::Abort),
        };
    }

    fn ended(&mut self, ending: Ending, safeguards: Safeguards) {
        if ending == Ending::Commit {
            self.next += 1;
            self.own = Some(self.next);
        }
        if ending == Ending::Commit || self.sweeping {
            self.unswept = None;
        }
        self.known = Some(ending);
        self.sweeping = false;
        self.membership = Membership::Stale;
        if self.unanswered && safeguards.replaced_producer {
            self.epoch = None;
        }
        self.resume(safeguards);
    }

    /// Closes both clients: the worker starts again from the committed position.
    pub fn restart(&mut self, safeguards: Safeguards) {
        // A transaction whose commit was requested and not answered may be committed.
        let in_doubt = self.waits && self.stage == Stage::End(Ending::Commit);
        let unswept = self.unswept.filter(|_| !in_doubt);
        let known = if unswept.is_some() { Some(Ending::Abort) } else { self.known };
        let known = known.filter(|_| !in_doubt);
        *self = Self { own: self.own, unswept, known, ..Self::dead() };
        self.resume(safeguards);
    }

    /// Whether the connection to the coordinator was lost before that confirmed the transaction.
    pub fn must_hold_back(&self) -> bool {
        let has_not_reached = self.stage == Stage::Add(Partition::Outcomes) && !self.sweeping;
        has_not_reached && (self.doubtful || self.waits)
    }

    /// Gives up a transaction that must not reach the coordinator, without a request.
    pub fn hold_back(&mut self, safeguards: Safeguards) {
        (self.epoch, self.waits) = (None, false);
        self.resume(safeguards);
    }

    /// Goes to the next stage outside of a transaction.
    pub fn resume(&mut self, safeguards: Safeguards) {
        self.stage = if self.epoch.is_none() && (safeguards.init_first || self.assigned) {
            Stage::Init
        } else if self.unswept.is_some() && self.epoch.is_some() {
            self.sweeping = true;
            Stage::Add(Partition::Outcomes)
        } else {
            Stage::Poll
        };
    }

    /// The producer has its epoch.
    pub fn initialized(&mut self, epoch: u8, safeguards: Safeguards) {
        (self.epoch, self.sequences) = (Some(epoch), [0; 3]);
        (self.unanswered, self.doubtful) = (false, false);
        self.resume(safeguards);
    }

    /// Begins an epoch with the next request.
    pub fn begin(&mut self, name: Name, cluster: &Cluster) {
        self.membership = membership(name, cluster);
        self.known = None;
        self.stage = Stage::Add(Partition::Outcomes);
    }

    /// Decides where the partition starts, unless it must wait.
    pub fn look_up(&mut self, cluster: &Cluster, group: Option<u8>, safeguards: Safeguards) {
        if !cluster.log(Partition::Offsets).is_stable() {
            return;
        }
        let own = self.own.filter(|_| safeguards.own_floor);
        let entries = cluster.log(Partition::Ledger);
        let visible = entries.last_stable();
        let is_hidden = !entries.is_stable();
        let agrees = visible.is_some() && visible == group && !safeguards.patient_ledger;
        if safeguards.ledger && is_hidden && !agrees {
            return;
        }
        match start(group, own, visible, safeguards.ledger) {
            Some(next) => {
                (self.next, self.assigned) = (next, true);
                self.resume(safeguards);
            }
            None => self.stage = Stage::Standing,
        }
    }
}

fn membership(name: Name, cluster: &Cluster) -> Membership {
    if cluster.members[name as usize] { Membership::Current } else { Membership::Stale }
}

/// What follows in a transaction after `partition`.
fn after(partition: Partition, safeguards: Safeguards) -> Stage {
    if partition == Partition::Outcomes && safeguards.ledger {
        Stage::Add(Partition::Ledger)
    } else {
        Stage::AddOffsets
    }
}
