//! Pairs slots with different signers, as many as can be (augmenting paths; both sides are bounded by the policy).

use std::collections::BTreeMap;

/// Which slot each signer fills, where `fits` has for each slot the signers that could fill it.
pub(crate) fn pair(fits: &[Vec<usize>]) -> BTreeMap<usize, usize> {
    let mut owner: BTreeMap<usize, usize> = BTreeMap::new();
    for slot in 0..fits.len() {
        augment(fits, slot, &mut owner, &mut Vec::new());
    }
    owner
}

fn augment(fits: &[Vec<usize>], slot: usize, owner: &mut BTreeMap<usize, usize>, tried: &mut Vec<usize>) -> bool {
    for signer in fits.get(slot).into_iter().flatten().copied() {
        if tried.contains(&signer) {
            continue;
        }
        tried.push(signer);
        let free = match owner.get(&signer).copied() {
            None => true,
            Some(other) => augment(fits, other, owner, tried),
        };
        if free {
            owner.insert(signer, slot);
            return true;
        }
    }
    false
}
