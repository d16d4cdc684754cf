//! Every policy that docs/policies.md shows is one that loads.

use std::fs;
use std::path::Path;

use proofmark_policy::PolicySet;

#[test]
fn the_policies_of_the_documentation_load() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    let text = fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 3);
    let all = blocks.join("---\n");
    let set = PolicySet::load(&[("docs/policies.md", all.as_bytes())]).unwrap();
    assert_eq!(set.summaries().len(), blocks.len());
    // What a policy of a peer means here is worth a note; our own say what they mean.
    assert!(set.notes().iter().all(|note| note.policy == "check-images"));
}
