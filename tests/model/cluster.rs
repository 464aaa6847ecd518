//! The brokers: transaction coordinator, group coordinator, and the logs of three partitions.
//!
//! As Kafka 4.3.1 answers a client of transactions version 1: the coordinator verifies that a partition belongs to a transaction
//! (KIP-890, first part), but only a new producer raises the epoch.

/// A worker by its name, which is also its transactional id and its member of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    A,
    B,
}

impl Name {
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    pub fn other(self) -> Self {
        if self == Self::A { Self::B } else { Self::A }
    }
}

/// The partitions that a transaction writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    Outcomes,
    /// The second ledger of positions.
    Ledger,
    /// The group's positions, in `__consumer_offsets`.
    Offsets,
}

impl Partition {
    pub const ALL: [Self; 3] = [Self::Outcomes, Self::Ledger, Self::Offsets];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    Commit,
    Abort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// `None`: since the producer's start.
    Ended(Option<Ending>),
    Ongoing,
    /// Its end is decided and its markers are being written.
    Prepared(Ending),
}

/// What the transaction coordinator knows about one transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub epoch: u8,
    pub state: State,
    /// By [`Partition`]: those that the transaction reached and that have no marker yet.
    pub partitions: [bool; 3],
    /// Whether the coordinator has just started and may leave out markers of this transaction.
    pub leaves_out: bool,
}

/// A record of a transaction. Records of aborted transactions are removed at once: they never count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub producer: Name,
    /// An outcome's request, or a position.
    pub value: u8,
    pub committed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    pub entries: Vec<Entry>,
    /// By [`Name`]: the producer's epoch, and its next sequence number.
    pub producers: [(u8, u8); 2],
}

impl Log {
    pub fn has_open(&self, producer: Name) -> bool {
        self.entries.iter().any(|entry| entry.producer == producer && !entry.committed)
    }

    pub fn is_stable(&self) -> bool {
        self.entries.iter().all(|entry| entry.committed)
    }

    /// How often `value` is committed.
    pub fn count(&self, value: u8) -> usize {
        self.entries.iter().filter(|entry| entry.committed && entry.value == value).count()
    }

    /// The last committed value, also behind open transactions.
    pub fn last(&self) -> Option<u8> {
        self.entries.iter().rev().find(|entry| entry.committed).map(|entry| entry.value)
    }

    /// The last committed value that a `read_committed` reader gets: it stops before the first open transaction.
    pub fn last_stable(&self) -> Option<u8> {
        self.entries.iter().take_while(|entry| entry.committed).map(|entry| entry.value).last()
    }

    fn append(&mut self, producer: Name, value: u8) {
        self.entries.push(Entry { producer, value, committed: false });
    }

    /// A higher epoch fences the producers before it.
    fn raise_epoch(&mut self, producer: Name, epoch: u8) {
        let known = &mut self.producers[producer as usize];
        if known.0 < epoch {
            *known = (epoch, 0);
        }
    }

    /// Writes a marker. It ends all open records of the producer, whichever transaction they belong to.
    fn mark(&mut self, producer: Name, epoch: u8, ending: Ending) {
        let is_open = |entry: &Entry| entry.producer == producer && !entry.committed;
        match ending {
            Ending::Abort => self.entries.retain(|entry| !is_open(entry)),
            Ending::Commit => {
                for entry in self.entries.iter_mut().filter(|entry| is_open(entry)) {
                    entry.committed = true;
                }
            }
        }
        self.raise_epoch(producer, epoch);
    }

    /// Drops committed values that a later one hides from every reader, as compaction does.
    fn compact(&mut self) {
        let mut entries = std::mem::take(&mut self.entries).into_iter().peekable();
        while let Some(entry) = entries.next() {
            if !(entry.committed && entries.peek().is_some_and(|next| next.committed)) {
                self.entries.push(entry);
            }
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// `INVALID_PRODUCER_EPOCH`.
    Fenced,
    /// `CONCURRENT_TRANSACTIONS`: the client asks again later.
    Busy,
    /// `INVALID_TXN_STATE` and the like.
    NotInTransaction,
    /// `ILLEGAL_GENERATION` or `UNKNOWN_MEMBER_ID`.
    NotAMember,
}

/// The group metadata that an offset commit carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Of the group's generation, for now.
    Current,
    /// Of an earlier generation.
    Stale,
}

/// A request that a client may repeat, and that may arrive late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub from: Name,
    pub epoch: u8,
    pub call: Call,
}

impl Request {
    /// Whether the transaction coordinator answers it.
    pub fn is_of_coordinator(self) -> bool {
        match self.call {
            Call::AddPartitionsToTxn(_) | Call::AddOffsetsToTxn | Call::EndTxn(_) => true,
            Call::Produce { .. } | Call::TxnOffsetCommit { .. } => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Of the partition that is written to next.
    AddPartitionsToTxn(Partition),
    /// An outcome or an entry of the ledger.
    Produce {
        partition: Partition,
        sequence: u8,
        value: u8,
    },
    AddOffsetsToTxn,
    TxnOffsetCommit {
        position: u8,
        membership: Membership,
    },
    EndTxn(Ending),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// By [`Name`].
    pub transactions: [Transaction; 2],
    /// By [`Partition`].
    pub logs: [Log; 3],
    /// By [`Name`]: who is a member of the group.
    pub members: [bool; 2],
    /// The member that the partition of requests is assigned to.
    pub owner: Option<Name>,
}

impl Cluster {
    /// The workers are members with a producer; the first has the partition.
    pub fn new(workers: &[Name]) -> Self {
        let idle = Transaction {
            epoch: 0,
            state: State::Ended(None),
            partitions: [false; 3],
            leaves_out: false,
        };
        Self {
            transactions: [idle; 2],
            logs: Default::default(),
            members: Name::ALL.map(|it| workers.contains(&it)),
            owner: workers.first().copied(),
        }
    }

    pub fn log(&self, partition: Partition) -> &Log {
        &self.logs[partition as usize]
    }

    /// How the last transaction of `name` ended or is going to end, if that is known: a new producer makes the coordinator
    /// forget it.
    pub fn ending(&self, name: Name) -> Option<Ending> {
        match self.transactions[name as usize].state {
            State::Ongoing => Some(Ending::Abort), // by the new producer
            State::Prepared(ending) => Some(ending),
            State::Ended(ending) => ending,
        }
    }

    /// Ends the last transaction of `name` again in every partition, with the producer's epoch.
    pub fn settle(&mut self, name: Name, ending: Ending) {
        self.transactions[name as usize].state = State::Prepared(ending);
        self.transactions[name as usize].partitions = [true; 3];
        for partition in Partition::ALL {
            self.mark(name, partition, ending, true);
        }
    }

    pub fn handle(&mut self, request: Request) -> Result<(), Refusal> {
        let Request { from, epoch, call } = request;
        match call {
            Call::AddPartitionsToTxn(partition) => self.add(from, epoch, partition),
            Call::AddOffsetsToTxn => self.add(from, epoch, Partition::Offsets),
            Call::Produce { partition, sequence, value } => {
                self.produce(partition, from, (epoch, sequence), value)
            }
            Call::TxnOffsetCommit { position, membership } => {
                if membership == Membership::Stale {
                    return Err(Refusal::NotAMember);
                }
                self.verify(Partition::Offsets, from, epoch)?;
                let log = &mut self.logs[Partition::Offsets as usize];
                log.append(from, position);
                log.raise_epoch(from, epoch);
                Ok(())
            }
            Call::EndTxn(ending) => self.end(from, epoch, ending),
        }
    }

    fn add(&mut self, from: Name, epoch: u8, partition: Partition) -> Result<(), Refusal> {
        let transaction = &mut self.transactions[from as usize];
        match transaction.state {
            _ if epoch != transaction.epoch => return Err(Refusal::Fenced),
            State::Prepared(_) => return Err(Refusal::Busy),
            State::Ended(_) | State::Ongoing => transaction.state = State::Ongoing,
        }
        transaction.partitions[partition as usize] = true;
        Ok(())
    }

    fn end(&mut self, from: Name, epoch: u8, ending: Ending) -> Result<(), Refusal> {
        let transaction = &mut self.transactions[from as usize];
        match transaction.state {
            _ if epoch != transaction.epoch => Err(Refusal::Fenced),
            State::Ongoing => {
                transaction.state = State::Prepared(ending);
                Ok(())
            }
            State::Prepared(it) if it == ending => Err(Refusal::Busy),
            // Only a repeated request is expected here, but the coordinator cannot tell.
            State::Ended(Some(it)) if it == ending => Ok(()),
            State::Prepared(_) | State::Ended(_) => Err(Refusal::NotInTransaction),
        }
    }

    /// The partition's leader asks the coordinator, unless the producer has a transaction open there already.
    fn verify(&self, partition: Partition, from: Name, epoch: u8) -> Result<(), Refusal> {
        let transaction = &self.transactions[from as usize];
        let log = self.log(partition);
        if epoch < log.producers[from as usize].0 {
            return Err(Refusal::Fenced);
        }
        let added = transaction.state == State::Ongoing
            && transaction.epoch == epoch
            && transaction.partitions[partition as usize];
        if added || log.has_open(from) { Ok(()) } else { Err(Refusal::NotInTransaction) }
    }

    fn produce(
        &mut self,
        partition: Partition,
        from: Name,
        (epoch, sequence): (u8, u8),
        value: u8,
    ) -> Result<(), Refusal> {
        self.verify(partition, from, epoch)?;
        let log = &mut self.logs[partition as usize];
        let (known, next) = log.producers[from as usize];
        let expected = if known == epoch { next } else { 0 };
        if sequence > expected {
            return Err(Refusal::NotInTransaction); // OUT_OF_ORDER_SEQUENCE_NUMBER
        }
        if sequence == expected {
            log.append(from, value);
            log.producers[from as usize] = (epoch, sequence + 1);
        }
        Ok(())
    }

    /// `init_transactions`: raises the epoch, once no transaction of an earlier producer is left.
    pub fn init(&mut self, name: Name) -> Result<u8, Refusal> {
        match self.transactions[name as usize].state {
            State::Prepared(_) => Err(Refusal::Busy),
            State::Ongoing => {
                self.expire(name);
                Err(Refusal::Busy)
            }
            State::Ended(_) => {
                let transaction = &mut self.transactions[name as usize];
                transaction.epoch += 1;
                transaction.state = State::Ended(None);
                Ok(transaction.epoch)
            }
        }
    }

    /// The coordinator aborts an ongoing transaction and fences its producer.
    pub fn expire(&mut self, name: Name) {
        let transaction = &mut self.transactions[name as usize];
        transaction.epoch += 1;
        transaction.state = State::Prepared(Ending::Abort);
    }

    /// The partitions of `name` that may get a marker next, and the marker's kind. The one of the outcomes is always the first:
    /// no worker reads outcomes, so that another order leads nowhere else.
    pub fn unmarked(&self, name: Name) -> impl Iterator<Item = (Partition, Ending)> {
        let transaction = self.transactions[name as usize];
        let ending = match transaction.state {
            State::Prepared(ending) => Some(ending),
            State::Ended(_) | State::Ongoing => None,
        };
        let waits = move |it: &Partition| transaction.partitions[*it as usize];
        let is_next = move |it: &Partition| {
            waits(it) && (*it == Partition::Outcomes || !waits(&Partition::Outcomes))
        };
        ending
            .into_iter()
            .flat_map(move |it| Partition::ALL.into_iter().filter(is_next).map(move |p| (p, it)))
    }

    /// Writes a marker, or treats the partition as deleted and leaves it out.
    pub fn mark(&mut self, name: Name, partition: Partition, ending: Ending, written: bool) {
        let transaction = &mut self.transactions[name as usize];
        if written {
            let log = &mut self.logs[partition as usize];
            log.mark(name, transaction.epoch, ending);
            if partition != Partition::Outcomes {
                log.compact();
            }
        }
        transaction.partitions[partition as usize] = false;
        if transaction.partitions == [false; 3] {
            transaction.state = State::Ended(Some(ending));
            transaction.leaves_out = false;
        }
    }
}
