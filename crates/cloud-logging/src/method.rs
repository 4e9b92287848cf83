//! What a request did and to what, from an entry's `methodName` and `resourceName`.
//!
//! `io.k8s.core.v1.pods.exec.create` is the API group reversed, its version, the resource, a subresource where there is
//! one, and the verb; `core/v1/namespaces/NS/pods/NAME/exec` is the path that was asked for, with the group in place of
//! `/api` or `/apis/GROUP`. A request for no resource is `io.k8s.get` with the path alone.
//! <https://cloud.google.com/kubernetes-engine/docs/how-to/audit-logging>

use stakeout_core::event::ObjectRef;

/// The name that entries give to the group without a name, which `objectRef` leaves out.
const CORE_GROUP: &str = "core";
/// Groups whose own name is one word; any other `io.k8s.WORD` is `WORD.k8s.io`.
const PLAIN_GROUPS: [&str; 5] = ["apps", "autoscaling", "batch", "extensions", "policy"];

/// What the two names mean together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiCall {
    pub(crate) verb: Option<String>,
    pub(crate) object_ref: Option<ObjectRef>,
    pub(crate) request_uri: Option<String>,
}

/// `methodName` taken apart.
enum Method<'a> {
    NonResource { verb: &'a str },
    Resource { group: &'a str, version: &'a str, resource: &'a str, subresource: Option<&'a str>, verb: &'a str },
}

/// `resourceName` of a resource, taken apart.
struct Path<'a> {
    group: &'a str,
    version: &'a str,
    below: &'a str,
}

/// Returns what a request did, as far as its names can be read.
pub(crate) fn call(method_name: &str, resource_name: &str) -> ApiCall {
    let path = Path::parse(resource_name);
    match Method::parse(method_name, path.as_ref().map(|path| path.version)) {
        None => ApiCall::default(),
        Some(Method::NonResource { verb }) => {
            // The path has its slash in some entries.
            let path = resource_name.strip_prefix('/').unwrap_or(resource_name);
            ApiCall { verb: present(verb), object_ref: None, request_uri: Some(format!("/{path}")) }
        }
        Some(Method::Resource { group, version, resource, subresource, verb }) => {
            let mut object = ObjectRef {
                resource: present(resource),
                subresource: subresource.and_then(present),
                api_group: group_of(group),
                api_version: present(version),
                ..ObjectRef::default()
            };
            if let Some(path) = &path {
                path.complete(&mut object, resource);
            }
            ApiCall { verb: present(verb), object_ref: Some(object), request_uri: path.map(|path| path.request_uri()) }
        }
    }
}

impl<'a> Method<'a> {
    /// Reads a name from its end. `version` is known where the path names it; else a segment like `v1beta1` is one.
    fn parse(name: &'a str, version: Option<&str>) -> Option<Method<'a>> {
        let is_version = |segment: &str| version.map_or_else(|| looks_like_version(segment), |known| segment == known);
        let (before, verb) = name.rsplit_once('.')?;
        if before == "io.k8s" {
            return Some(Method::NonResource { verb });
        }
        let (before, last) = before.rsplit_once('.')?;
        let (before, middle) = before.rsplit_once('.')?;
        if is_version(middle) {
            return Some(Method::Resource { group: before, version: middle, resource: last, subresource: None, verb });
        }
        let (group, version) = before.rsplit_once('.')?;
        is_version(version).then_some(Method::Resource {
            group,
            version,
            resource: middle,
            subresource: Some(last),
            verb,
        })
    }
}

impl<'a> Path<'a> {
    fn parse(resource_name: &'a str) -> Option<Path<'a>> {
        let (group, rest) = resource_name.split_once('/')?;
        let (version, below) = rest.split_once('/')?;
        (!group.is_empty() && !version.is_empty()).then_some(Path { group, version, below })
    }

    /// Adds to an object what only the path contains. A namespace itself is its own namespace, as the API server has it.
    fn complete(&self, object: &mut ObjectRef, resource: &str) {
        let mut segments = self.below.split('/');
        object.api_group = (self.group != CORE_GROUP).then(|| self.group.to_owned());
        if let Some(of_namespace) = self.below.strip_prefix("namespaces/") {
            let (namespace, inside) = of_namespace.split_once('/').unwrap_or((of_namespace, ""));
            object.namespace = present(namespace);
            if resource != "namespaces" {
                segments = inside.split('/');
            }
        }
        object.name = segments.nth(1).and_then(present);
        if object.subresource.is_none() {
            object.subresource = segments.next().and_then(present);
        }
    }

    fn request_uri(&self) -> String {
        let Path { group, version, below } = self;
        match *group {
            CORE_GROUP => format!("/api/{version}/{below}"),
            group => format!("/apis/{group}/{version}/{below}"),
        }
    }
}

/// Returns the API group that a method's name begins with.
fn group_of(reversed: &str) -> Option<String> {
    let word = reversed.strip_prefix("io.k8s.").filter(|word| !word.contains('.'));
    match word {
        Some(CORE_GROUP) => None,
        Some(word) if PLAIN_GROUPS.contains(&word) => Some(word.to_owned()),
        _ => present(&reversed.rsplit('.').collect::<Vec<_>>().join(".")),
    }
}

fn looks_like_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn present(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns verb, resource, subresource, namespace, name, group, version and URI, `-` where there is none.
    fn read(method: &str, resource: &str) -> String {
        let ApiCall { verb, object_ref, request_uri } = call(method, resource);
        let object = object_ref.unwrap_or_default();
        let parts = [
            verb,
            object.resource,
            object.subresource,
            object.namespace,
            object.name,
            object.api_group,
            object.api_version,
            request_uri,
        ];
        parts.map(|part| part.unwrap_or_else(|| "-".to_owned())).join(" ")
    }

    #[test]
    fn names_are_read_as_the_api_server_would_have_put_it() {
        for (method, resource, expected) in [
            ("io.k8s.core.v1.pods.list", "core/v1/pods", "list pods - - - - v1 /api/v1/pods"),
            (
                "io.k8s.core.v1.pods.exec.create",
                "core/v1/namespaces/shop/pods/web-1/exec",
                "create pods exec shop web-1 - v1 /api/v1/namespaces/shop/pods/web-1/exec",
            ),
            (
                "io.k8s.authorization.rbac.v1.clusterroles.list",
                "rbac.authorization.k8s.io/v1/clusterroles",
                "list clusterroles - - - rbac.authorization.k8s.io v1 /apis/rbac.authorization.k8s.io/v1/clusterroles",
            ),
            (
                "io.k8s.apps.v1.deployments.get",
                "apps/v1/namespaces/shop/deployments/web",
                "get deployments - shop web apps v1 /apis/apps/v1/namespaces/shop/deployments/web",
            ),
            (
                "io.k8s.core.v1.namespaces.get",
                "core/v1/namespaces/shop",
                "get namespaces - shop shop - v1 /api/v1/namespaces/shop",
            ),
            (
                "io.k8s.core.v1.namespaces.finalize.update",
                "core/v1/namespaces/shop/finalize",
                "update namespaces finalize shop shop - v1 /api/v1/namespaces/shop/finalize",
            ),
            ("io.k8s.core.v1.namespaces.list", "core/v1/namespaces", "list namespaces - - - - v1 /api/v1/namespaces"),
            (
                "com.example.stable.crontabs.list",
                "example.com/stable/crontabs",
                "list crontabs - - - example.com stable /apis/example.com/stable/crontabs",
            ),
            (
                "io.k8s.core.v1.nodes.proxy.get",
                "core/v1/nodes/n1/proxy/pods",
                "get nodes proxy - n1 - v1 /api/v1/nodes/n1/proxy/pods",
            ),
            (
                "io.k8s.core.v1.services.proxy",
                "core/v1/namespaces/a/services/b",
                "proxy services - a b - v1 /api/v1/namespaces/a/services/b",
            ),
            ("io.k8s.core.v1.pods.", "core/v1/pods", "- pods - - - - v1 /api/v1/pods"),
            ("io.k8s.get", "", "get - - - - - - /"),
            ("io.k8s.get", "/readyz", "get - - - - - - /readyz"),
            ("io.k8s.get", "healthz/etcd", "get - - - - - - /healthz/etcd"),
        ] {
            assert_eq!(read(method, resource), expected, "{method}");
        }
    }

    #[test]
    fn without_a_path_the_method_says_what_it_can() {
        for (method, expected) in [
            ("io.k8s.authorization.rbac.v1.roles.list", "list roles - - - rbac.authorization.k8s.io v1 -"),
            ("io.k8s.batch.v1.jobs.list", "list jobs - - - batch v1 -"),
            ("io.k8s.core.v1.pods.list", "list pods - - - - v1 -"),
            ("io.argoproj.v1alpha1.applications.list", "list applications - - - argoproj.io v1alpha1 -"),
            ("io.k8s.core.pods.list", "- - - - - - - -"),
            ("list", "- - - - - - - -"),
            ("", "- - - - - - - -"),
        ] {
            assert_eq!(read(method, ""), expected, "{method}");
        }
    }
}
