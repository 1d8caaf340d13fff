#!/bin/sh
# Takes away what make-caches.sh has made under a name, as far as it is there. May be repeated.
set -u

name=${1:?usage: delete-caches.sh NAME}

# Deletes one thing; that it is not there is no failure.
delete() {
    why=$("$@" 2>&1 >/dev/null) && return
    case $why in
        *NotFound* | *NoSuchEntity* | *"does not exist"* | *"not found"*) ;;
        *) printf '%s\n' "$why" >&2; exit 1 ;;
    esac
}

delete aws cloudwatch delete-alarms --alarm-names "$name-cpu"
policy=$(aws iam list-policies --scope Local --query "Policies[?PolicyName=='$name-look'].Arn" --output text) || exit 1
if [ -n "$policy" ]; then
    delete aws iam detach-user-policy --user-name "$name-watcher" --policy-arn "$policy"
    delete aws iam delete-policy --policy-arn "$policy"
fi
delete aws iam delete-user --user-name "$name-watcher"

delete aws elasticache delete-replication-group --replication-group-id "$name"
aws elasticache wait replication-group-deleted --replication-group-id "$name" || exit 1
delete aws elasticache delete-user-group --user-group-id "$name"
# The users can go when their group is gone.
while aws elasticache describe-user-groups --user-group-id "$name" >/dev/null 2>&1; do sleep 1; done
delete aws elasticache delete-user --user-id "$name-app"
delete aws elasticache delete-user --user-id "$name-default"
delete aws elasticache delete-cache-parameter-group --cache-parameter-group-name "$name"
delete aws elasticache delete-cache-subnet-group --cache-subnet-group-name "$name"

for vpc in $(aws ec2 describe-vpcs --filters "Name=tag:Name,Values=$name" --query 'Vpcs[].VpcId' --output text); do
    of_vpc="Name=vpc-id,Values=$vpc"
    for group in $(aws ec2 describe-security-groups --filters "$of_vpc" "Name=group-name,Values=$name" \
        --query 'SecurityGroups[].GroupId' --output text); do
        delete aws ec2 delete-security-group --group-id "$group"
    done
    for subnet in $(aws ec2 describe-subnets --filters "$of_vpc" --query 'Subnets[].SubnetId' --output text); do
        delete aws ec2 delete-subnet --subnet-id "$subnet"
    done
    delete aws ec2 delete-vpc --vpc-id "$vpc"
done
