//! May they? Today's one rule: an access key may do everything in its own account, and nothing in another one.
//! Policies of users will be judged here too, from the same three arguments.

use crate::front::ApiError;
use crate::operation::Caller;
use crate::resource::arn::Arn;

/// Refuses the action unless the caller may do it to the resource (none: to no resource in particular).
///
/// # Errors
/// `AccessDenied`.
pub fn authorise(caller: &Caller, action: &str, resource: Option<&Arn>) -> Result<(), ApiError> {
    match resource {
        Some(arn) if arn.account != caller.account => Err(ApiError::new(
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: elasticache:{action} on resource: {arn} because no \
                 identity-based policy allows the elasticache:{action} action",
                caller.user_arn
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_account_is_closed() {
        let caller = Caller {
            access_key_id: "AKIAX".to_owned(),
            account: "000000000000".to_owned(),
            user_arn: "arn:aws:iam::000000000000:user/root".to_owned(),
            region: "us-east-1".to_owned(),
        };
        authorise(&caller, "ListTagsForResource", Some(&caller.arn("cluster", "a"))).unwrap();
        authorise(&caller, "DescribeEvents", None).unwrap();
        let other = Arn::new("us-east-1", "111111111111", "cluster", "a");
        let error = authorise(&caller, "ListTagsForResource", Some(&other)).unwrap_err();
        assert_eq!((error.code, error.status), ("AccessDenied", 403));
    }
}
