//! `conditions` of attestations.

use crate::condition::{Block, Comparison, Operator};
use crate::error::PolicyError;
use crate::read::node::Node;

/// The most comparisons in one attestation's conditions.
const MAX_COMPARISONS: usize = 256;

pub(super) fn read(node: &Node<'_>) -> Result<Vec<Block>, PolicyError> {
    let blocks: Vec<Block> = node.list()?.iter().map(block).collect::<Result<_, _>>()?;
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
