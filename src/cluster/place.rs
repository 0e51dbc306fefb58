//! A place: one seat of one node, which is what a token names.

/// A node's id, fresh for each boot: random, and never written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// The number of a seat, never given twice by one node.
pub(crate) type SeatNumber = u32;

/// A seat of a node (`N:S`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) seat: SeatNumber,
}
