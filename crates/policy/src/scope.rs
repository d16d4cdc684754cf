//! Which objects a rule concerns.
//!
//! Not everything is always known of an object: on the command line there is none. What is not known widens a rule and
//! never an exception to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::condition::{self, Block};
use crate::question::{Operation, RequestContext};
use crate::text::wildcard;

/// Which objects a rule concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The one namespace that the policy itself lives in, and can say something about.
    pub(crate) within: Option<String>,
    pub(crate) include: Option<Filters>,
    pub(crate) exclude: Option<Filters>,
    /// Conditions over the request that must hold; every block.
    pub(crate) preconditions: Vec<Block>,
}

#[derive(Clone, Debug)]
pub(crate) enum Filters {
    Any(Vec<Filter>),
    All(Vec<Filter>),
}

/// Every list that is not empty must match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) kinds: Vec<String>,
    pub(crate) namespaces: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) operations: Vec<Operation>,
    /// Over the labels of the object; every one.
    pub(crate) labels: Vec<LabelRule>,
    /// Over the annotations of the object; every one.
    pub(crate) annotations: Vec<LabelRule>,
    /// Over the labels of the namespace; every one.
    pub(crate) namespace_labels: Vec<LabelRule>,
    /// Who asks; any of them.
    pub(crate) subjects: Vec<Subject>,
}

/// What labels or annotations must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelRule {
    /// With wildcards, where the format has them there.
    pub(crate) key: String,
    pub(crate) test: LabelTest,
}

/// The operators of Kubernetes' label selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LabelTest {
    /// With wildcards; a value of a label has none, so that nothing else is said by them.
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// Who asks the API server; names may have wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    User(String),
    Group(String),
    /// `system:serviceaccount:NAMESPACE:NAME`
    ServiceAccount(String),
}

/// What a filter says about an object of which not everything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    No,
    Unknown,
    Yes,
}

impl Scope {
    pub(crate) fn covers(&self, context: &RequestContext<'_>) -> bool {
        let at_home = match (&self.within, context.namespace) {
            (Some(home), Some(seen)) => home == seen,
            _ => true,
        };
        let included = self
            .include
            .as_ref()
            .map_or(Known::Yes, |filters| filters.matches(context));
        let excluded = self
            .exclude
            .as_ref()
            .map_or(Known::No, |filters| filters.matches(context));
        at_home && included != Known::No && excluded != Known::Yes && self.expected(context)
    }

    /// Whether the preconditions hold, or nobody can say that they do not: a condition that cannot be evaluated leaves
    /// the rule in force.
    fn expected(&self, context: &RequestContext<'_>) -> bool {
        if self.preconditions.is_empty() || context.object.is_none() {
            return true;
        }
        let data = request_data(context);
        match condition::holds(&self.preconditions, &data, None) {
            Ok(()) => true,
            Err(unmet) => unmet.code != condition::FALSE,
        }
    }
}

/// What Kyverno's expressions see of a request.
pub(crate) fn request_data(context: &RequestContext<'_>) -> Value {
    let groups = context.user.map(|user| user.groups);
    let name = context.user.map(|user| user.name);
    let mut request = json!({
        "operation": context.operation.map(Operation::name),
        "namespace": context.namespace,
        "name": context.name,
        "kind": { "kind": context.kind },
        "userInfo": { "username": name, "groups": groups },
    });
    if let (Some(fields), Some(object)) = (request.as_object_mut(), context.object) {
        fields.insert("object".to_owned(), object.clone());
        fields.insert(
            "oldObject".to_owned(),
            context.old_object.cloned().unwrap_or(Value::Null),
        );
    }
    let account = name.and_then(|name| name.strip_prefix("system:serviceaccount:"));
    let (namespace, account) = account.and_then(|rest| rest.split_once(':')).unzip();
    json!({ "request": request, "serviceAccountName": account, "serviceAccountNamespace": namespace })
}

impl Filters {
    pub(crate) fn matches(&self, context: &RequestContext<'_>) -> Known {
        match self {
            Self::Any(filters) => filters
                .iter()
                .map(|filter| filter.matches(context))
                .max()
                .unwrap_or(Known::No),
            Self::All(filters) => filters
                .iter()
                .map(|filter| filter.matches(context))
                .min()
                .unwrap_or(Known::Yes),
        }
    }
}

impl Filter {
    pub(crate) fn matches(&self, context: &RequestContext<'_>) -> Known {
        let any = |patterns: &[String], seen: Option<&str>| match seen {
            _ if patterns.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(seen) => known(patterns.iter().any(|pattern| wildcard(pattern, seen))),
        };
        let operation = match context.operation {
            _ if self.operations.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(seen) => known(self.operations.contains(&seen)),
        };
        let object = |field: &str, rules: &[LabelRule]| match context.object {
            _ if rules.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(object) => {
                let labels = texts(object.pointer(&format!("/metadata/{field}")));
                known(rules.iter().all(|rule| rule.holds(&labels)))
            }
        };
        let namespace_labels = match context.namespace_labels {
            _ if self.namespace_labels.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(labels) => known(self.namespace_labels.iter().all(|rule| rule.holds(labels))),
        };
        let subject = match context.user {
            _ if self.subjects.is_empty() => Known::Yes,
            None => Known::Unknown,
            Some(user) => known(self.subjects.iter().any(|subject| subject.is(user.name, user.groups))),
        };
        any(&self.kinds, context.kind)
            .min(any(&self.namespaces, context.namespace))
            .min(any(&self.names, context.name))
            .min(operation)
            .min(object("labels", &self.labels))
            .min(object("annotations", &self.annotations))
            .min(namespace_labels)
            .min(subject)
    }
}

pub(crate) fn known(yes: bool) -> Known {
    if yes { Known::Yes } else { Known::No }
}

fn texts(labels: Option<&Value>) -> BTreeMap<String, String> {
    let fields = labels.and_then(Value::as_object).into_iter().flatten();
    fields
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

impl LabelRule {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut seen = labels
            .iter()
            .filter(|(key, _)| wildcard(&self.key, key))
            .map(|(_, value)| value);
        match &self.test {
            LabelTest::In(values) => seen.any(|seen| values.iter().any(|value| wildcard(value, seen))),
            // As in Kubernetes: what has no such label has none of its values.
            LabelTest::NotIn(values) => !seen.any(|seen| values.iter().any(|value| wildcard(value, seen))),
            LabelTest::Exists => seen.next().is_some(),
            LabelTest::DoesNotExist => seen.next().is_none(),
        }
    }
}

impl Subject {
    fn is(&self, name: &str, groups: &[String]) -> bool {
        match self {
            Self::User(wanted) | Self::ServiceAccount(wanted) => wildcard(wanted, name),
            Self::Group(wanted) => groups.iter().any(|group| wildcard(wanted, group)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::User;

    fn pod() -> Value {
        json!({"metadata": {"labels": {"team": "a", "app.kubernetes.io/name": "x"}, "annotations": {"skip": "yes"}}})
    }

    fn rule(key: &str, test: LabelTest) -> LabelRule {
        LabelRule {
            key: key.to_owned(),
            test,
        }
    }

    #[test]
    fn labels_are_read_as_kubernetes_does() {
        let labels = texts(pod().pointer("/metadata/labels"));
        let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        for (key, test, holds) in [
            ("team", LabelTest::In(list(&["b", "a"])), true),
            ("team", LabelTest::In(list(&["b"])), false),
            ("team", LabelTest::In(list(&["?"])), true),
            ("tea*", LabelTest::In(list(&["a"])), true),
            ("other", LabelTest::In(list(&["*"])), false),
            ("team", LabelTest::NotIn(list(&["a"])), false),
            ("other", LabelTest::NotIn(list(&["a"])), true),
            ("team", LabelTest::Exists, true),
            ("other", LabelTest::Exists, false),
            ("other", LabelTest::DoesNotExist, true),
            ("team", LabelTest::DoesNotExist, false),
        ] {
            assert_eq!(rule(key, test.clone()).holds(&labels), holds, "{key} {test:?}");
        }
    }

    /// What is not known widens a rule, and never what it leaves out.
    #[test]
    fn what_is_not_known_leaves_the_rule_in_force() {
        let filter = Filter {
            labels: vec![rule("team", LabelTest::Exists)],
            namespace_labels: vec![rule("env", LabelTest::In(vec!["prod".to_owned()]))],
            subjects: vec![Subject::Group("devs".to_owned())],
            ..Filter::default()
        };
        let nothing = RequestContext::default();
        assert_eq!(filter.matches(&nothing), Known::Unknown);
        let filters = || Some(Filters::Any(vec![filter.clone()]));
        let include = Scope {
            include: filters(),
            ..Scope::default()
        };
        let exclude = Scope {
            exclude: filters(),
            ..Scope::default()
        };
        assert!(include.covers(&nothing) && exclude.covers(&nothing));

        let (object, groups) = (pod(), ["devs".to_owned()]);
        let namespace = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        let all = RequestContext {
            object: Some(&object),
            namespace_labels: Some(&namespace),
            user: Some(User {
                name: "u",
                groups: &groups,
            }),
            ..nothing
        };
        assert_eq!(filter.matches(&all), Known::Yes);
        assert!(include.covers(&all) && !exclude.covers(&all));
        let stranger = RequestContext {
            user: Some(User { name: "u", groups: &[] }),
            ..all
        };
        assert_eq!(filter.matches(&stranger), Known::No);
        let home = Scope {
            within: Some("team-a".to_owned()),
            ..Scope::default()
        };
        assert!(home.covers(&nothing));
        assert!(!home.covers(&RequestContext {
            namespace: Some("team-b"),
            ..nothing
        }));
    }
}
