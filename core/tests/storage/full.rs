//! Who has no room to write an epoch finds out at the start, not once it is elected: it would end because
//! of it, come back with the best vote, and be elected again.

use vivarium_core::server::RecoveryInput;
use vivarium_core::server::action::{DiskAction, FatalReason};
use vivarium_core::server::input::DiskFault;
use vivarium_core::storage::recovery::{Recovered, Recovering, Step};

use crate::disk::Disk;
use crate::golden::ensemble;
use crate::setup::{of_three, recover};

/// Recovers where no new file finds room.
fn recover_full(disk: &mut Disk) -> Result<Recovered, FatalReason> {
    let mut recovering = Recovering::start(of_three());
    let mut input = RecoveryInput::Begin;
    loop {
        input = match recovering.next(input) {
            Step::Disk(DiskAction::Write { file, .. }) if disk.get(&file).is_none() => {
                RecoveryInput::Failed(DiskFault::NoSpace)
            }
            Step::Disk(action) => {
                disk.run(&action).map_or(RecoveryInput::Done, RecoveryInput::Read)
            }
            Step::Progress(_) => RecoveryInput::Done,
            Step::Done(recovered) => return Ok(*recovered),
            Step::Refused(reason) => return Err(reason),
        };
    }
}

#[test]
fn a_full_disk_shows_before_anybody_votes() {
    let mut disk = ensemble(0);
    recover(&of_three(), &mut disk).unwrap();
    let whole = disk.contents();
    let refused = recover_full(&mut disk).unwrap_err();
    let FatalReason::Disk { file, fault } = refused else { panic!("{refused:?}") };
    assert_eq!((file.as_str(), fault), ("dataDir/version-2/acceptedEpoch.tmp", DiskFault::NoSpace));
    assert_eq!(disk.contents(), whole);
    recover(&of_three(), &mut disk).unwrap();
    assert_eq!(disk.contents(), whole, "the probe is gone");
}
