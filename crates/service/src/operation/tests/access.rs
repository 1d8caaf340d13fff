//! What policies allow and refuse, seen through the frame.

use std::collections::{BTreeMap, BTreeSet};

use super::Service;
use crate::identity::Principal;
use crate::resource::iam::{Entity, Permissions, User};
use crate::state;

/// A service whose caller is a user with one policy.
fn limited(statements: &str) -> Service {
    let mut service = Service::new();
    let document = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let permissions = Permissions {
        inline: BTreeMap::from([("p".to_owned(), document)]),
        attached: BTreeSet::new(),
        boundary: None,
    };
    let entity = Entity {
        name: "ann".to_owned(),
        path: "/".to_owned(),
        unique_id: "AIDAX".to_owned(),
        created_ms: 0,
        permissions,
        tags: BTreeMap::new(),
    };
    service.app.records.apply(&[state::create(&User { entity }).unwrap()]).unwrap();
    service.caller.principal = Principal::User { name: "ann".to_owned() };
    service.caller.user_arn = "arn:aws:iam::000000000000:user/ann".to_owned();
    service
}

fn create_group(name: &str, tag: Option<&str>) -> String {
    let tag = tag.map(|value| format!("&Tags.Tag.1.Key=team&Tags.Tag.1.Value={value}")).unwrap_or_default();
    format!(
        "Action=CreateCacheParameterGroup&CacheParameterGroupName={name}&CacheParameterGroupFamily=redis7\
         &Description=d{tag}"
    )
}

#[test]
fn silence_is_a_refusal_in_the_words_of_aws() {
    let service = limited(r#"{"Effect":"Allow","Action":"elasticache:Describe*","Resource":"*"}"#);
    service.ok("Action=DescribeCacheSubnetGroups");
    let refused = service.refused(&create_group("a", None), "AccessDenied");
    assert!(
        refused.contains(
            "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: \
             elasticache:CreateCacheParameterGroup on resource: \
             arn:aws:elasticache:us-east-1:000000000000:parametergroup:a because no identity-based policy allows \
             the elasticache:CreateCacheParameterGroup action"
        ),
        "{refused}"
    );
}

#[test]
fn resources_are_named_and_a_deny_wins() {
    let service = limited(
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},
           {"Effect":"Deny","Action":"elasticache:*","Resource":"arn:aws:elasticache:*:*:parametergroup:prod-*"}"#,
    );
    service.ok(&create_group("dev-a", None));
    let refused = service.refused(&create_group("prod-a", None), "AccessDenied");
    assert!(refused.contains("with an explicit deny in an identity-based policy"), "{refused}");
}

#[test]
fn tags_of_the_request_and_of_the_resource() {
    let service = limited(
        r#"{"Effect":"Allow","Action":["elasticache:Create*","elasticache:AddTagsToResource"],"Resource":"*",
            "Condition":{"StringEquals":{"aws:RequestTag/team":"search"},
                         "ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}},
           {"Effect":"Allow","Action":"elasticache:Delete*","Resource":"*",
            "Condition":{"StringEquals":{"aws:ResourceTag/team":"search"}}}"#,
    );
    service.ok(&create_group("a", Some("search")));
    service.refused(&create_group("b", Some("ads")), "AccessDenied");
    service.refused(&create_group("b", None), "AccessDenied");
    service.ok("Action=DeleteCacheParameterGroup&CacheParameterGroupName=a");
    service.refused("Action=DeleteCacheParameterGroup&CacheParameterGroupName=b", "AccessDenied");
}

#[test]
fn making_with_tags_is_tagging_too() {
    let service = limited(r#"{"Effect":"Allow","Action":"elasticache:Create*","Resource":"*"}"#);
    service.ok(&create_group("a", None));
    let refused = service.refused(&create_group("b", Some("x")), "AccessDenied");
    assert!(refused.contains("elasticache:AddTagsToResource"), "{refused}");
}

#[test]
fn what_parameters_refer_to_must_be_allowed_too() {
    let service = limited(
        r#"{"Effect":"Allow","Action":"*","Resource":["arn:aws:elasticache:*:*:cluster:*",
            "arn:aws:elasticache:*:*:subnetgroup:default","arn:aws:elasticache:*:*:parametergroup:default.*"]}"#,
    );
    let create = "Action=CreateCacheCluster&CacheClusterId=a&Engine=redis&CacheNodeType=cache.t3.micro&NumCacheNodes=1";
    service.refused(&format!("{create}&CacheSubnetGroupName=other"), "AccessDenied");
    service.ok(create);
}

#[test]
fn keys_of_the_service() {
    let service = limited(
        r#"{"Effect":"Allow","Action":"*","Resource":"*"},
           {"Effect":"Deny","Action":"*","Resource":"*",
            "Condition":{"StringNotLikeIfExists":{"elasticache:CacheNodeType":"cache.t3.*"}}}"#,
    );
    let create = "Action=CreateCacheCluster&CacheClusterId=a&Engine=redis&NumCacheNodes=1&CacheNodeType";
    service.refused(&format!("{create}=cache.r6g.large"), "AccessDenied");
    service.ok(&format!("{create}=cache.t3.micro"));
}
