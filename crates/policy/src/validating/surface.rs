//! The names that expressions of a policy over objects may use.

use crate::condition::cel::Surface;

const NO_NETWORK: &str = "nothing is fetched while deciding: a policy that reaches out is a way into the network of the server, with its credentials (CVE-2026-4789)";
const NO_CLUSTER: &str = "objects of the cluster are not looked up while deciding; write what the policy needs into it";
const NOT_READ: &str = "this library is not read";

const REFUSED: &[(&str, &str)] = &[
    ("http", NO_NETWORK),
    ("resource", NO_CLUSTER),
    ("globalContext", NO_CLUSTER),
    ("generator", "policies that make objects are not read"),
    ("random", "the same question must have the same answer"),
    ("authorizer", NO_CLUSTER),
    ("params", "these policies have no parameters"),
    ("x509", NOT_READ),
    ("gzip", NOT_READ),
    ("transform", NOT_READ),
];

const FUNCTIONS: &[&str] = &[
    // CEL
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "dyn",
    "type",
    "duration",
    "timestamp",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    // optional values
    "orValue",
    "or",
    "value",
    "hasValue",
    // texts and lists, as cel-go and Kubernetes have them
    "charAt",
    "indexOf",
    "lastIndexOf",
    "join",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "split",
    "substring",
    "format",
    "reverse",
    "slice",
    "flatten",
    "distinct",
    "sort",
    "find",
    "findAll",
    "math.@max",
    "math.@min",
    // Kyverno
    "image",
    "parseImageReference",
    "isImage",
    "containsDigest",
    "registry",
    "repository",
    "identifier",
    "tag",
    "digest",
    "verifyImageSignatures",
    "verifyAttestationSignatures",
    "extractPayload",
    "getImageData",
    "sha256",
    "parseServiceAccount",
];

const QUALIFIED: &[&str] = &[
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "math.ceil",
    "math.floor",
    "math.round",
    "math.trunc",
    "math.abs",
    "math.sign",
    "math.isInf",
    "math.isNaN",
    "math.isFinite",
    "strings.quote",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "time.now",
    "hash.sha256",
    "json.marshal",
    "json.unmarshal",
    "yaml.parse",
    "user.parseServiceAccount",
    "image.GetMetadata",
    "image.getMetadata",
];

/// What `validations`, `variables`, `messageExpression` and `auditAnnotations` see.
pub(crate) static OBJECT: Surface = Surface {
    variables: &[
        "object",
        "oldObject",
        "request",
        "namespaceObject",
        "variables",
        "images",
        "attestors",
        "attestations",
        "exceptions",
    ],
    known: "object, oldObject, request, namespaceObject, variables, images, attestors, attestations and exceptions",
    functions: FUNCTIONS,
    qualified: QUALIFIED,
    refused: REFUSED,
    short: &["images"],
};

/// What `matchConditions` and `images` see: they say what is looked at, before anything was.
pub(crate) static REQUEST: Surface = Surface {
    variables: &["object", "oldObject", "request", "namespaceObject"],
    known: "object, oldObject, request and namespaceObject",
    functions: FUNCTIONS,
    qualified: QUALIFIED,
    refused: REFUSED,
    short: &[],
};

/// What `matchImageReferences` see.
pub(crate) static REFERENCE: Surface = Surface {
    variables: &["ref"],
    known: "ref",
    functions: FUNCTIONS,
    qualified: QUALIFIED,
    refused: REFUSED,
    short: &[],
};
