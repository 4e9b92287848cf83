#!/usr/bin/env bash
# Lets Stakeout read one Log Analytics workspace, and nothing else in it than one table of the audit log, and sends the
# audit log of one AKS cluster there.
#
#   deploy/iam/aks-log-analytics.sh WORKSPACE_RESOURCE_ID CLUSTER_RESOURCE_ID PRINCIPAL_OBJECT_ID [TABLE]
#
# TABLE is AKSAudit, or AzureDiagnostics where the diagnostic settings of the cluster write to the table of all resources.
set -euo pipefail
workspace=${1:?the resource id of the workspace} cluster=${2:?the resource id of the cluster}
principal=${3:?the object id of the identity that Stakeout runs as} table=${4:-AKSAudit}
case $table in
AKSAudit) specific=true ;;
AzureDiagnostics) specific=false ;;
*) echo "TABLE is AKSAudit or AzureDiagnostics, not $table" >&2 && exit 2 ;;
esac

# kube-audit has every request; kube-audit-admin would leave out get and list, which scans are made of.
az monitor diagnostic-settings create --name stakeout --resource "$cluster" --workspace "$workspace" \
    --export-to-resource-specific "$specific" --logs '[{"category": "kube-audit", "enabled": true}]'

# A role that may run queries, and read what the condition below names: granular access, as
# https://learn.microsoft.com/azure/azure-monitor/logs/manage-table-access describes it. "Log Analytics Reader" on the
# workspace would do as well, and read all its tables.
role=$(cat <<JSON
{
  "Name": "Stakeout reader",
  "Description": "Runs queries in a workspace; a condition says on which tables.",
  "AssignableScopes": ["$workspace"],
  "Actions": [
    "Microsoft.OperationalInsights/workspaces/read",
    "Microsoft.OperationalInsights/workspaces/query/read"
  ],
  "DataActions": ["Microsoft.OperationalInsights/workspaces/tables/data/read"]
}
JSON
)
az role definition create --role-definition "$role"
az role assignment create --role "Stakeout reader" --assignee-object-id "$principal" \
    --assignee-principal-type ServicePrincipal --scope "$workspace" --condition-version 2.0 \
    --condition "((!(ActionMatches{'Microsoft.OperationalInsights/workspaces/tables/data/read'}))
        OR (@Resource[Microsoft.OperationalInsights/workspaces/tables:name] StringEquals '$table'))"
