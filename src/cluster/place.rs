//! A place: one seat of one node, which is what a token names.

/// A node's id: random, fresh for each boot, and never stored by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// The number of a seat. A node never gives the same number twice.
pub(crate) type SeatNumber = u32;

/// A seat of a node (`N:S`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) seat: SeatNumber,
}
