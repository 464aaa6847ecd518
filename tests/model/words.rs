//! The steps in words.

use std::fmt;

use super::cluster::{Call, Partition, Refusal, Request};
use super::world::Step;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Call(request, answer) => write!(f, "{request}: {}", Answer(answer)),
            Self::Init(name, Ok(())) => write!(f, "{name:?} has a new producer"),
            Self::Init(name, Err(_)) => {
                write!(f, "{name:?} calls init_transactions; an earlier transaction is ended first")
            }
            Self::Join(name) => write!(f, "{name:?} joins the group"),
            Self::LookUp(name, position) => {
                write!(f, "{name:?} gets the partition; the group's position is {position:?}")
            }
            Self::NoticeLoss(name) => write!(f, "{name:?} notices that it lost the partition"),
            Self::Start(name) => write!(f, "{name:?} starts again"),
            Self::Begin(name) => write!(f, "{name:?} begins an epoch"),
            Self::HoldBack(name) => {
                write!(f, "{name:?} gives up an epoch that the coordinator knows nothing of")
            }
            Self::Marker(name, partition, ending) => {
                write!(f, "the coordinator writes {name:?}'s {ending:?} marker to {partition:?}")
            }
            Self::TakeOver(name) => write!(f, "{name:?}'s transaction is ended again by another"),
            Self::Renew(name) => write!(f, "{name:?} replaces its producer"),
            Self::Expire(name) => {
                write!(f, "the transaction of {name:?}, which is dead, times out")
            }
            Self::Retire(name) => write!(f, "the group removes {name:?}, which is dead"),
            Self::Hold(request) => write!(f, "{request}: HELD by the network, no answer"),
            Self::Arrive(request, answer) => {
                write!(f, "the HELD request arrives, {request}: {}", Answer(answer))
            }
            Self::GiveUp(name) => write!(f, "{name:?} gives up and restarts with new clients"),
            Self::Abort(name) => write!(f, "{name:?} ABORTS its epoch"),
            Self::Crash(name) => write!(f, "{name:?} is KILLED"),
            Self::Die(name) => write!(f, "{name:?} is KILLED for good"),
            Self::Remove(name) => write!(f, "the group REMOVES {name:?}, whose session timed out"),
            Self::TimeOut(name) => write!(f, "{name:?}'s transaction TIMES OUT"),
            Self::StaleAnswer(name, position) => {
                write!(
                    f,
                    "{name:?} gets the partition; the group answers with the OLD {position:?}"
                )
            }
            Self::SkipMarker(name, partition) => {
                write!(f, "the coordinator LEAVES OUT {name:?}'s marker in {partition:?}")
            }
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}'s ", self.from)?;
        match self.call {
            Call::AddPartitionsToTxn(partition) => write!(f, "AddPartitionsToTxn, {partition:?}"),
            Call::Produce { partition: Partition::Ledger, value: position, .. } => {
                write!(f, "Produce, the ledger's entry {position}")
            }
            Call::Produce { value: request, .. } => {
                write!(f, "Produce, the outcome of request {request}")
            }
            Call::AddOffsetsToTxn => write!(f, "AddOffsetsToTxn"),
            Call::TxnOffsetCommit { position, membership } => {
                write!(f, "TxnOffsetCommit, position {position}, membership {membership:?}")
            }
            Call::EndTxn(ending) => write!(f, "EndTxn, {ending:?}"),
        }
    }
}

struct Answer(Result<(), Refusal>);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(()) => write!(f, "done"),
            Err(refusal) => write!(f, "refused, {refusal:?}"),
        }
    }
}
