#!/bin/sh
# Makes a network, a replication group with a user, a policy and an alarm, by the AWS CLI; prints the group's endpoint.
# A name that is taken ends it: delete-caches.sh takes away what an earlier run has made.
set -eu

name=${1:?usage: PASSWORD=... make-caches.sh NAME}
password=${PASSWORD:?PASSWORD must be set, 16 to 128 characters}
app_range=${APP_RANGE:-127.0.0.0/8}

say() { printf '%s\n' "$*" >&2; }

say "The network"
vpc=$(aws ec2 create-vpc --cidr-block 10.43.0.0/16 --query Vpc.VpcId --output text \
    --tag-specifications "ResourceType=vpc,Tags=[{Key=Name,Value=$name}]")
zones=$(aws ec2 describe-availability-zones --query 'AvailabilityZones[:2].ZoneName' --output text)
number=0
subnets=
for zone in $zones; do
    subnet=$(aws ec2 create-subnet --vpc-id "$vpc" --availability-zone "$zone" --cidr-block "10.43.$number.0/24" \
        --query Subnet.SubnetId --output text)
    subnets="$subnets $subnet"
    number=$((number + 1))
done
group=$(aws ec2 create-security-group --vpc-id "$vpc" --group-name "$name" --description "Who may connect to $name" \
    --query GroupId --output text)
aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 6379 --cidr "$app_range" >/dev/null
# One word for each subnet.
# shellcheck disable=SC2086
aws elasticache create-cache-subnet-group --cache-subnet-group-name "$name" \
    --cache-subnet-group-description "Subnets of $name" --subnet-ids $subnets >/dev/null

say "The parameters"
aws elasticache create-cache-parameter-group --cache-parameter-group-name "$name" \
    --cache-parameter-group-family redis7 --description "Evicts what was not used for long" >/dev/null
aws elasticache modify-cache-parameter-group --cache-parameter-group-name "$name" \
    --parameter-name-values ParameterName=maxmemory-policy,ParameterValue=allkeys-lru >/dev/null

say "The users of the cache"
aws elasticache create-user --user-id "$name-default" --user-name default --engine redis \
    --access-string "off -@all" --no-password-required >/dev/null
aws elasticache create-user --user-id "$name-app" --user-name "$name" --engine redis \
    --access-string "on ~$name:* -@all +@read +@write +@connection -@dangerous" --passwords "$password" >/dev/null
aws elasticache create-user-group --user-group-id "$name" --engine redis \
    --user-ids "$name-default" "$name-app" >/dev/null

say "The replication group"
aws elasticache create-replication-group --replication-group-id "$name" --replication-group-description "$name" \
    --engine redis --engine-version 7.1 --cache-node-type cache.t4g.micro --num-cache-clusters 1 \
    --cache-parameter-group-name "$name" --cache-subnet-group-name "$name" --security-group-ids "$group" \
    --user-group-ids "$name" --transit-encryption-enabled --tags "Key=example,Value=cloud-shell" >/dev/null

say "Somebody who may look"
policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*",
    "Action": ["elasticache:Describe*", "elasticache:List*", "cloudwatch:Get*", "cloudwatch:List*"]}]}'
policy=$(aws iam create-policy --policy-name "$name-look" --policy-document "$policy" --query Policy.Arn --output text)
aws iam create-user --user-name "$name-watcher" >/dev/null
aws iam attach-user-policy --user-name "$name-watcher" --policy-arn "$policy"

say "The alarm"
aws cloudwatch put-metric-alarm --alarm-name "$name-cpu" --namespace AWS/ElastiCache \
    --metric-name EngineCPUUtilization --dimensions "Name=CacheClusterId,Value=$name-001" "Name=CacheNodeId,Value=0001" \
    --statistic Average --period 60 --evaluation-periods 3 --comparison-operator GreaterThanThreshold --threshold 80 \
    --treat-missing-data notBreaching

say "Waiting for the replication group"
aws elasticache wait replication-group-available --replication-group-id "$name"
aws elasticache describe-replication-groups --replication-group-id "$name" \
    --query 'ReplicationGroups[0].NodeGroups[0].PrimaryEndpoint.Address' --output text
