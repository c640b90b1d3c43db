//! Exposure: a port of the Pods for each exposed service, and the Service and EndpointSlices that
//! lead there.
//!
//! `allocate` says which port is whose: the statuses are the truth, every replica reads it there,
//! and only the leader adds to it. `children` says what there shall be, `keeper` sees to it.

mod allocate;
mod children;
mod keeper;
mod observed;
mod wish;

pub(crate) use allocate::{Allocation, Slot, Want};
pub(crate) use children::Exposed;
pub(super) use children::LABEL;
pub(super) use keeper::Keeper;
pub(crate) use keeper::{Balancers, Standing, Standings};
pub(super) use observed::{ChildNews, watched_services, watched_slices};
pub(super) use wish::wishes;
