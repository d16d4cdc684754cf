//! `conditions` of attestations.

use crate::condition::{Block, Comparison, Operator};
use crate::error::PolicyError;
use crate::read::node::Node;

/// The most comparisons in one attestation's conditions.
const MAX_COMPARISONS: usize = 256;

/// Those of attestations.
pub(in crate::read) fn read(node: &Node<'_>) -> Result<Vec<Block>, PolicyError> {
    bounded(node, node.list()?.iter().map(block).collect::<Result<_, _>>()?)
}

/// Preconditions and the conditions of `deny`: one block, or, in the old spelling, a list that must all hold.
pub(in crate::read) fn over_request(node: &Node<'_>) -> Result<Vec<Block>, PolicyError> {
    let Some(items) = node.value().as_array() else {
        return bounded(node, vec![block(node)?]);
    };
    let old = items.iter().all(|item| item.get("key").is_some());
    if !old {
        return read(node);
    }
    let all = node.list()?.iter().map(comparison).collect::<Result<_, _>>()?;
    bounded(node, vec![Block { all, any: Vec::new() }])
}

fn bounded(node: &Node<'_>, blocks: Vec<Block>) -> Result<Vec<Block>, PolicyError> {
    let comparisons: usize = blocks.iter().map(|block| block.any.len() + block.all.len()).sum();
    if comparisons > MAX_COMPARISONS {
        return Err(node.wrong("at most 256 comparisons"));
    }
    Ok(blocks)
}

fn block(node: &Node<'_>) -> Result<Block, PolicyError> {
    node.object(&["any", "all"], &[], |object| {
        let list = |name: &str| -> Result<Vec<Comparison>, PolicyError> {
            let Some(node) = object.get(name) else {
                return Ok(Vec::new());
            };
            node.list()?.iter().map(comparison).collect()
        };
        let block = Block {
            any: list("any")?,
            all: list("all")?,
        };
        if block.any.is_empty() && block.all.is_empty() {
            return Err(node.wrong("any or all"));
        }
        Ok(block)
    })
}

fn comparison(node: &Node<'_>) -> Result<Comparison, PolicyError> {
    node.object(&["key", "operator", "value", "message"], &[], |object| {
        let key = object.required("key", "an expression such as {{ builder.id }}")?;
        let operator_node = object.required("operator", "an operator")?;
        let operator = Operator::parse(operator_node.string()?).map_err(|source| operator_node.condition(source))?;
        let value = object.required("value", "what the key is compared with")?;
        let message = object.string("message")?.map(ToOwned::to_owned);
        Comparison::compile(key.string()?, operator, value.value(), message).map_err(|source| node.condition(source))
    })
}

/// The conditions of `deny`: over images, and perhaps over the request.
pub(in crate::read) fn over_images(node: &Node<'_>, blocks: &[Block]) -> Result<(), PolicyError> {
    const ROOTS: [&str; 4] = ["images", "request", "serviceAccountName", "serviceAccountNamespace"];
    roots(node, blocks, &ROOTS)?;
    let mut comparisons = blocks.iter().flat_map(|block| block.any.iter().chain(&block.all));
    if comparisons.any(|comparison| comparison.roots().iter().any(|root| root == "images")) {
        return Ok(());
    }
    Err(node.unsupported("only conditions over images are read: {{ images.containers.*.tag }} and the like"))
}

/// Refuses expressions over anything but `known`: what nobody fills in would be an error at every image.
pub(in crate::read) fn roots(node: &Node<'_>, blocks: &[Block], known: &[&str]) -> Result<(), PolicyError> {
    let comparisons = blocks.iter().flat_map(|block| block.any.iter().chain(&block.all));
    for root in comparisons.flat_map(Comparison::roots) {
        if !known.contains(&root.as_str()) {
            let reason = format!("\"{root}\" is not known here; there are {}", known.join(", "));
            return Err(node.unsupported(&reason));
        }
    }
    Ok(())
}
