use proptest::prelude::*;

use super::*;
use crate::{MemoryTree, leaf_hash};

/// The eight leaves that the vectors of Google's certificate-transparency project use.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of the first 1 to 8 of them.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hash(hex_text: &str) -> TreeHash {
    TreeHash::from_slice(&hex::decode(hex_text).unwrap()).unwrap()
}

fn tree(leaves: u64) -> (MemoryTree, Vec<TreeHash>) {
    let mut tree = MemoryTree::new();
    let mut roots = vec![tree.root()];
    for index in 0..leaves {
        tree.append(leaf_hash(&index.to_be_bytes()));
        roots.push(tree.root());
    }
    (tree, roots)
}

#[test]
fn roots_are_those_of_the_public_vectors() {
    assert_eq!(
        empty_root(),
        hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    let mut tree = MemoryTree::new();
    for (leaf, root) in LEAVES.iter().zip(ROOTS) {
        tree.append(leaf_hash(&hex::decode(leaf).unwrap()));
        assert_eq!(tree.root(), hash(root));
    }
}

#[test]
fn the_public_inclusion_vectors_verify() {
    // (leaf, size, proof) of the same project.
    let vectors: [(u64, u64, &[&str]); 3] = [
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        ),
    ];
    for (index, size, proof) in vectors {
        let leaf = leaf_hash(&hex::decode(LEAVES[usize::try_from(index).unwrap()]).unwrap());
        let root = hash(ROOTS[usize::try_from(size).unwrap() - 1]);
        let proof: Vec<TreeHash> = proof.iter().map(|p| hash(p)).collect();
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
    }
}

#[test]
fn every_proof_of_small_trees_verifies_and_no_other_does() {
    let (nodes, roots) = tree(40);
    for size in 1..=40_u64 {
        let root = &roots[usize::try_from(size).unwrap()];
        for index in 0..size {
            let leaf = leaf_hash(&index.to_be_bytes());
            let proof = prove_inclusion(index, size, &nodes).unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &proof, root), Ok(()));
            refuse_mutated_inclusion(&leaf, index, size, &proof, root);
        }
        for old in 0..=size {
            let old_root = &roots[usize::try_from(old).unwrap()];
            let proof = prove_consistency(old, size, &nodes).unwrap();
            assert_eq!(
                verify_consistency(old, size, &proof, old_root, root),
                Ok(()),
                "{old} {size}"
            );
            refuse_mutated_consistency(old, size, &proof, old_root, root);
        }
    }
}

fn refuse_mutated_inclusion(leaf: &TreeHash, index: u64, size: u64, proof: &[TreeHash], root: &TreeHash) {
    let other = leaf_hash(b"other");
    let is_root = |result| matches!(result, Err(ProofError::RootMismatch { .. }));
    let is_length = |result| matches!(result, Err(ProofError::Length { .. }));
    assert!(is_root(verify_inclusion(&other, index, size, proof, root)));
    assert!(is_root(verify_inclusion(leaf, index, size, proof, &other)));
    for at in 0..proof.len() {
        let mut altered = proof.to_vec();
        altered[at] = other;
        assert!(is_root(verify_inclusion(leaf, index, size, &altered, root)));
    }
    let longer = [proof, &[other]].concat();
    assert!(is_length(verify_inclusion(leaf, index, size, &longer, root)));
    if let Some((_, shorter)) = proof.split_last() {
        assert!(is_length(verify_inclusion(leaf, index, size, shorter, root)));
    }
    if index + 1 < size {
        assert!(verify_inclusion(leaf, index + 1, size, proof, root).is_err());
    }
    assert!(matches!(
        verify_inclusion(leaf, size, size, proof, root),
        Err(ProofError::IndexOutOfRange { .. })
    ));
}

fn refuse_mutated_consistency(old: u64, new: u64, proof: &[TreeHash], old_root: &TreeHash, new_root: &TreeHash) {
    let other = leaf_hash(b"other");
    let is_root = |result| matches!(result, Err(ProofError::RootMismatch { .. }));
    assert!(is_root(verify_consistency(old, new, proof, &other, new_root)));
    if old > 0 {
        assert!(is_root(verify_consistency(old, new, proof, old_root, &other)));
    }
    for at in 0..proof.len() {
        let mut altered = proof.to_vec();
        altered[at] = other;
        assert!(is_root(verify_consistency(old, new, &altered, old_root, new_root)));
    }
    assert!(matches!(
        verify_consistency(old, new, &[proof, &[other]].concat(), old_root, new_root),
        Err(ProofError::Length { .. })
    ));
    assert!(matches!(
        verify_consistency(new + 1, new, proof, old_root, new_root),
        Err(ProofError::SizesReversed { .. })
    ));
}

#[test]
fn a_hole_in_the_store_is_named() {
    let (nodes, _) = tree(5);
    assert!(matches!(
        prove_inclusion(0, 6, &nodes),
        Err(ProofError::MissingNode { .. })
    ));
    assert!(matches!(
        prove_inclusion(6, 6, &nodes),
        Err(ProofError::IndexOutOfRange { .. })
    ));
    assert!(matches!(
        prove_consistency(6, 5, &nodes),
        Err(ProofError::SizesReversed { .. })
    ));
}

#[test]
fn absurd_sizes_neither_panic_nor_pass() {
    let (leaf, root) = (leaf_hash(b"x"), leaf_hash(b"y"));
    for size in [1, u64::MAX - 1, u64::MAX, 1 << 63] {
        for index in [0, 1, size / 2, size - 1, size, u64::MAX] {
            for length in [0, 1, 63, 64, 65] {
                let proof = vec![leaf; length];
                assert!(verify_inclusion(&leaf, index, size, &proof, &root).is_err());
                assert!(verify_consistency(index, size, &proof, &leaf, &root).is_err());
            }
        }
    }
}

proptest! {
    #[test]
    fn proofs_of_larger_trees_verify(size in 1_u64..3000, at in any::<u64>()) {
        let (nodes, roots) = tree(size);
        let index = at % size;
        let root = &roots[usize::try_from(size).unwrap()];
        let proof = prove_inclusion(index, size, &nodes).unwrap();
        prop_assert!(proof.len() <= MAX_PROOF_HASHES);
        prop_assert_eq!(verify_inclusion(&leaf_hash(&index.to_be_bytes()), index, size, &proof, root), Ok(()));
        let proof = prove_consistency(index, size, &nodes).unwrap();
        let old_root = &roots[usize::try_from(index).unwrap()];
        prop_assert_eq!(verify_consistency(index, size, &proof, old_root, root), Ok(()));
    }

    #[test]
    fn a_compact_range_is_loaded_from_nodes(size in 0_u64..600) {
        let (nodes, roots) = tree(size);
        let range = crate::CompactRange::load(size, &nodes).unwrap();
        prop_assert_eq!(range.size(), size);
        prop_assert_eq!(&range.root(), roots.last().unwrap());
    }
}
