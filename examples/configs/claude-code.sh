#!/bin/sh
# Claude Code, on the command line: paste the one that fits. It fills in ${…} itself when it starts the server, so the
# single quotes matter: with them, its configuration holds the names of the variables and no secret.

# A server behind Cloudflare Access; the service token is in Claude Code's own environment.
claude mcp add my-server -e CF_ACCESS_HOSTS=mcp.example.com -- mcp-tether https://mcp.example.com/mcp

# The same for all projects, with the variables named.
claude mcp add my-server-everywhere -s user \
  -e CF_ACCESS_CLIENT_ID='${CF_ACCESS_CLIENT_ID}' \
  -e CF_ACCESS_CLIENT_SECRET='${CF_ACCESS_CLIENT_SECRET}' \
  -e CF_ACCESS_HOSTS=mcp.example.com \
  -- mcp-tether https://mcp.example.com/mcp

# A server that wants another header, and is not to see the service token.
claude mcp add my-api -- mcp-tether --no-access --header 'X-API-Key: ${MY_API_KEY}' https://mcp.example.com/mcp
