//! Policies that AWS itself manages: those that concern what is here, with what their documentation says they allow.

/// A policy of AWS.
#[derive(Debug, Clone, Copy)]
pub struct AwsPolicy {
    /// Path between `policy` and the name.
    pub path: &'static str,
    /// Name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Actions that it allows on everything.
    actions: &'static [&'static str],
}

/// Reading of everything that is served here.
const READ: &[&str] = &[
    "cloudwatch:Describe*",
    "cloudwatch:Get*",
    "cloudwatch:List*",
    "ec2:Describe*",
    "ec2:Get*",
    "elasticache:Describe*",
    "elasticache:List*",
    "iam:Get*",
    "iam:List*",
    "iam:Simulate*",
    "iam:GenerateCredentialReport",
    "sts:GetCallerIdentity",
];

/// All of them, in the order of their names.
pub const AWS_POLICIES: &[AwsPolicy] = &[
    AwsPolicy {
        path: "/",
        name: "AdministratorAccess",
        description: "Provides full access to AWS services and resources.",
        actions: &["*"],
    },
    AwsPolicy {
        path: "/",
        name: "AmazonElastiCacheFullAccess",
        description: "Provides full access to Amazon ElastiCache.",
        actions: &[
            "elasticache:*",
            "ec2:DescribeVpcs",
            "ec2:DescribeSubnets",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeAvailabilityZones",
            "ec2:DescribeVpcAttribute",
            "cloudwatch:GetMetricStatistics",
            "cloudwatch:GetMetricData",
            "cloudwatch:ListMetrics",
        ],
    },
    AwsPolicy {
        path: "/",
        name: "AmazonElastiCacheReadOnlyAccess",
        description: "Provides read only access to Amazon ElastiCache.",
        actions: &["elasticache:Describe*", "elasticache:List*"],
    },
    AwsPolicy {
        path: "/",
        name: "AmazonVPCFullAccess",
        description: "Provides full access to the networks of Amazon VPC.",
        actions: &["ec2:*Vpc*", "ec2:*Subnet*", "ec2:*SecurityGroup*", "ec2:*Tags", "ec2:Describe*"],
    },
    AwsPolicy {
        path: "/",
        name: "CloudWatchReadOnlyAccess",
        description: "Provides read only access to CloudWatch.",
        actions: &["cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*"],
    },
    AwsPolicy {
        path: "/",
        name: "IAMFullAccess",
        description: "Provides full access to IAM.",
        actions: &["iam:*"],
    },
    AwsPolicy {
        path: "/",
        name: "ReadOnlyAccess",
        description: "Provides read-only access to AWS services and resources.",
        actions: READ,
    },
];

impl AwsPolicy {
    /// The policy of that ARN.
    pub fn find(arn: &str) -> Option<&'static AwsPolicy> {
        AWS_POLICIES.iter().find(|policy| policy.arn() == arn)
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// Its document.
    pub fn document(&self) -> String {
        let actions: Vec<String> = self.actions.iter().map(|action| format!("\"{action}\"")).collect();
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{}],"Resource":"*"}}]}}"#,
            actions.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_in_order_and_found() {
        assert!(AWS_POLICIES.windows(2).all(|pair| pair[0].name < pair[1].name));
        let found = AwsPolicy::find("arn:aws:iam::aws:policy/ReadOnlyAccess").unwrap();
        let document: serde_json::Value = serde_json::from_str(&found.document()).unwrap();
        assert_eq!(document["Statement"][0]["Effect"], "Allow");
        assert!(AwsPolicy::find("arn:aws:iam::aws:policy/None").is_none());
    }
}
