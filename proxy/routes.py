"""The routes of `/v1` that cost nothing, as text: the methods, then the path.

From the `openai` SDK 3.54.0, all of it, with `{id}` for whatever names a thing. What costs something stands in
`endpoints`, row by row.
"""

FREE = """
# What the APIs made, read again or tidied up
GET             /chat/completions
GET POST DELETE /chat/completions/{id}
GET             /chat/completions/{id}/messages
GET DELETE      /responses/{id}
POST            /responses/{id}/cancel
GET             /responses/{id}/input_items
POST            /conversations
GET POST DELETE /conversations/{id}
GET POST        /conversations/{id}/items
GET DELETE      /conversations/{id}/items/{id}
GET POST        /assistants
GET POST DELETE /assistants/{id}
POST            /threads
GET POST DELETE /threads/{id}
GET POST        /threads/{id}/messages
GET POST DELETE /threads/{id}/messages/{id}
GET             /threads/{id}/runs
GET POST        /threads/{id}/runs/{id}
POST            /threads/{id}/runs/{id}/cancel
GET             /threads/{id}/runs/{id}/steps
GET             /threads/{id}/runs/{id}/steps/{id}
POST            /chatkit/sessions/{id}/cancel
GET             /chatkit/threads
GET DELETE      /chatkit/threads/{id}
GET             /chatkit/threads/{id}/items
# Models and files
GET             /models
GET DELETE      /models/{id}
GET POST        /files
GET DELETE      /files/{id}
GET             /files/{id}/content
POST            /uploads
POST            /uploads/{id}/cancel
POST            /uploads/{id}/complete
POST            /uploads/{id}/parts
GET POST        /vector_stores
GET POST DELETE /vector_stores/{id}
POST            /vector_stores/{id}/file_batches
GET             /vector_stores/{id}/file_batches/{id}
POST            /vector_stores/{id}/file_batches/{id}/cancel
GET             /vector_stores/{id}/file_batches/{id}/files
GET POST        /vector_stores/{id}/files
GET POST DELETE /vector_stores/{id}/files/{id}
GET             /vector_stores/{id}/files/{id}/content
POST            /vector_stores/{id}/search
GET             /containers
GET DELETE      /containers/{id}
GET POST        /containers/{id}/files
GET DELETE      /containers/{id}/files/{id}
GET             /containers/{id}/files/{id}/content
GET POST        /skills
GET POST DELETE /skills/{id}
GET             /skills/{id}/content
GET POST        /skills/{id}/versions
GET DELETE      /skills/{id}/versions/{id}
GET             /skills/{id}/versions/{id}/content
# Sound and video
GET POST        /audio/voice_consents
GET POST DELETE /audio/voice_consents/{id}
POST            /audio/voices
DELETE          /audio/voices/{id}
GET             /videos
POST            /videos/characters
GET             /videos/characters/{id}
GET DELETE      /videos/{id}
GET             /videos/{id}/content
POST            /realtime/calls/{id}/hangup
POST            /realtime/calls/{id}/refer
POST            /realtime/calls/{id}/reject
GET             /live/sessions/{id}/content
POST            /live/sessions/{id}/hangup
POST            /live/sessions/{id}/refer
POST            /live/sessions/{id}/reject
# Jobs
GET             /batches
GET             /batches/{id}
POST            /batches/{id}/cancel
POST            /fine_tuning/alpha/graders/validate
GET POST        /fine_tuning/checkpoints/{id}/permissions
DELETE          /fine_tuning/checkpoints/{id}/permissions/{id}
GET             /fine_tuning/jobs
GET             /fine_tuning/jobs/{id}
POST            /fine_tuning/jobs/{id}/cancel
GET             /fine_tuning/jobs/{id}/checkpoints
GET             /fine_tuning/jobs/{id}/events
POST            /fine_tuning/jobs/{id}/pause
POST            /fine_tuning/jobs/{id}/resume
GET             /fine_tuning/model_limits
GET POST        /evals
GET POST DELETE /evals/{id}
GET             /evals/{id}/runs
GET DELETE      /evals/{id}/runs/{id}
POST            /evals/{id}/runs/{id}/cancel
GET             /evals/{id}/runs/{id}/output_items
GET             /evals/{id}/runs/{id}/output_items/{id}
# Agents
GET POST        /agents
GET POST        /agents/automations
GET POST DELETE /agents/automations/{id}
GET             /agents/automations/{id}/invocations
GET             /agents/automations/{id}/invocations/{id}
POST            /agents/automations/{id}/pause
POST            /agents/automations/{id}/resume
GET             /agents/environments
GET POST        /agents/environments/templates
GET POST DELETE /agents/environments/templates/{id}
GET             /agents/environments/{id}
GET POST        /agents/environments/{id}/files
GET             /agents/sessions
GET POST DELETE /agents/sessions/{id}
GET             /agents/sessions/{id}/artifacts
GET DELETE      /agents/sessions/{id}/artifacts/{id}
GET             /agents/sessions/{id}/artifacts/{id}/content
GET             /agents/sessions/{id}/events
GET             /agents/sessions/{id}/items
GET             /agents/sessions/{id}/subagents
GET             /agents/sessions/{id}/subagents/{id}
GET             /agents/sessions/{id}/subagents/{id}/items
GET             /agents/sessions/{id}/subagents/{id}/turns
GET             /agents/sessions/{id}/subagents/{id}/turns/{id}
GET             /agents/sessions/{id}/subagents/{id}/turns/{id}/items
GET             /agents/sessions/{id}/traces
GET             /agents/sessions/{id}/turns
GET             /agents/sessions/{id}/turns/{id}
GET             /agents/sessions/{id}/turns/{id}/items
GET POST DELETE /agents/{id}
GET POST        /vaults
GET POST DELETE /vaults/{id}
GET POST        /vaults/{id}/credentials
GET POST DELETE /vaults/{id}/credentials/{id}
# The project's own
GET             /safety/alerts/{id}
GET             /safety/cases/{id}
GET POST        /webhook_endpoints
GET POST DELETE /webhook_endpoints/{id}
POST            /webhook_endpoints/{id}/rotate_secret
POST            /webhook_endpoints/{id}/test
GET             /webhook_event_types
"""
"""What was billed when it was made is not billed again when it is read, changed or deleted. Storage (vector stores,
containers) is billed by time, whoever looks at it."""

ADMINISTRATION = """
GET POST        /projects/{id}/groups/{id}/roles
GET DELETE      /projects/{id}/groups/{id}/roles/{id}
GET POST        /projects/{id}/roles
GET POST DELETE /projects/{id}/roles/{id}
GET POST        /projects/{id}/users/{id}/roles
GET DELETE      /projects/{id}/users/{id}/roles/{id}
GET POST        /organization/admin_api_keys
GET DELETE      /organization/admin_api_keys/{id}
GET             /organization/audit_logs
GET POST        /organization/certificates
POST            /organization/certificates/activate
POST            /organization/certificates/deactivate
GET POST DELETE /organization/certificates/{id}
GET             /organization/costs
GET POST        /organization/data_retention
GET POST        /organization/external_keys
GET DELETE      /organization/external_keys/{id}
POST            /organization/external_keys/{id}/validate
GET POST        /organization/external_storage
GET DELETE      /organization/external_storage/{id}
POST            /organization/external_storage/{id}/validate
GET POST        /organization/groups
GET POST DELETE /organization/groups/{id}
GET POST        /organization/groups/{id}/roles
GET DELETE      /organization/groups/{id}/roles/{id}
GET POST        /organization/groups/{id}/users
GET DELETE      /organization/groups/{id}/users/{id}
GET POST        /organization/invites
GET DELETE      /organization/invites/{id}
GET POST        /organization/projects
GET POST        /organization/projects/{id}
GET             /organization/projects/{id}/api_keys
GET POST DELETE /organization/projects/{id}/api_keys/{id}
POST            /organization/projects/{id}/archive
GET             /organization/projects/{id}/certificates
POST            /organization/projects/{id}/certificates/activate
POST            /organization/projects/{id}/certificates/deactivate
GET POST        /organization/projects/{id}/data_retention
GET POST        /organization/projects/{id}/groups
GET DELETE      /organization/projects/{id}/groups/{id}
GET POST        /organization/projects/{id}/hosted_tool_permissions
GET POST DELETE /organization/projects/{id}/model_permissions
GET             /organization/projects/{id}/rate_limits
POST            /organization/projects/{id}/rate_limits/{id}
GET POST        /organization/projects/{id}/service_accounts
GET POST DELETE /organization/projects/{id}/service_accounts/{id}
POST            /organization/projects/{id}/service_accounts/{id}/api_keys
GET POST        /organization/projects/{id}/service_tier_settings
GET POST        /organization/projects/{id}/spend_alerts
GET POST DELETE /organization/projects/{id}/spend_alerts/{id}
GET POST DELETE /organization/projects/{id}/spend_limit
GET POST        /organization/projects/{id}/users
GET POST DELETE /organization/projects/{id}/users/{id}
GET POST        /organization/roles
GET POST DELETE /organization/roles/{id}
GET POST        /organization/spend_alerts
GET POST DELETE /organization/spend_alerts/{id}
GET POST DELETE /organization/spend_limit
GET             /organization/usage/audio_speeches
GET             /organization/usage/audio_transcriptions
GET             /organization/usage/code_interpreter_sessions
GET             /organization/usage/completions
GET             /organization/usage/decisions
GET             /organization/usage/embeddings
GET             /organization/usage/file_search_calls
GET             /organization/usage/images
GET             /organization/usage/moderations
GET             /organization/usage/vector_stores
GET             /organization/usage/web_search_calls
GET             /organization/users
GET POST DELETE /organization/users/{id}
GET POST        /organization/users/{id}/roles
GET DELETE      /organization/users/{id}/roles/{id}
GET POST        /organization/workload_identity_providers
GET POST DELETE /organization/workload_identity_providers/{id}
GET POST        /organization/workload_identity_providers/{id}/federation_rules
GET POST DELETE /organization/workload_identity_providers/{id}/federation_rules/{id}
"""
"""The organization's and its projects' own settings: free, and not for keys that Farebox issues."""
