"""The official Python client: does everything once and prints what it came to, a line of JSON each.

python client.py MODE direct URL
python client.py MODE COMMAND [ARGUMENT...] URL
"""

import json
import sys

import anyio
import mcp_types as types
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError


def tell(step, came_to):
    sys.stdout.buffer.write((json.dumps({"step": step, "cameTo": plain(came_to)}, ensure_ascii=False) + "\n").encode())
    sys.stdout.buffer.flush()


def plain(value):
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


async def told(call):
    """What a call comes to, also where it is an error."""
    try:
        return await call
    except MCPError as error:
        return error.error


async def answer(context, params):
    tell("asked", params.message)
    return types.ElicitResult(action="accept", content={"answer": "zweiundvierzig ü"})


async def main(mode, command, *arguments):
    server = arguments[-1] if command == "direct" else StdioServerParameters(command=command, args=list(arguments))
    changed = anyio.Event()

    async def hear(message):
        if isinstance(message, types.ToolListChangedNotification):
            changed.set()

    async with Client(server, mode=mode, cache=None, elicitation_callback=answer, message_handler=hear) as client:
        is_modern = client.protocol_version >= "2026"
        tell("connect", {
            "revision": client.protocol_version, "server": client.server_info,
            "capabilities": client.server_capabilities, "instructions": client.instructions,
        })

        page = await client.list_tools()
        tools = page.tools
        while page.next_cursor:
            page = await client.list_tools(cursor=page.next_cursor)
            tools = tools + page.tools
        tell("tools", tools)
        given = {
            "region": "us-west1", "city": "München", "note": " leading", "tricky": "=?base64?Zm9v?=", "count": -42,
            "urgent": False, "where": {"floor": 3}, "plain": "ü",
        }
        tell("parameters", await client.call_tool("route", given))
        tell("a parameter that is null", await told(client.call_tool("route", {"city": None, "count": 7})))

        seen = []

        async def progress(step, total, message):
            seen.append([step, total, message])
            if step == 3:
                await client.call_tool("proceed", {})

        slow = await client.call_tool("slow", {"steps": 3}, progress_callback=progress)
        tell("progress", {"seen": seen, "slow": slow})

        with anyio.CancelScope() as scope:

            async def enough(step, total, message):
                scope.cancel()

            await client.call_tool("endless", {}, progress_callback=enough)
        tell("cancellation", {"rejected": scope.cancelled_caught, "server": await client.call_tool("cancelled", {})})

        if is_modern:
            async with client.listen(tools_list_changed=True) as subscription:
                touched = await client.call_tool("touch", {})
                event = await anext(subscription)
                tell("subscription", {"honoured": subscription.honored, "touched": touched, "changed": type(event).__name__})
            tell("end of the subscription", await client.call_tool("unsubscribed", {}))
        else:
            touched = await client.call_tool("touch", {})
            await changed.wait()
            tell("subscription", {"touched": touched, "changed": True})

        tell("question", await client.call_tool("ask", {"question": "wie viele?"}))
        tell("resources", await client.list_resources())
        tell("resource", await client.read_resource("note://größe"))
        tell("templates", await client.list_resource_templates())
        tell("resource of a template", await client.read_resource("note://x"))
        tell("prompts", await client.list_prompts())
        tell("prompt", await client.get_prompt("grüßen", {"name": "Ada"}))
        reference = types.PromptReference(type="ref/prompt", name="grüßen")
        tell("completion", await client.complete(reference, {"name": "name", "value": "Ä"}))
        tell("failing tool", await told(client.call_tool("fail", {})))
        tell("unknown tool", await told(client.call_tool("no-such-tool", {})))
        tell("unknown resource", await told(client.read_resource("other://none")))
    tell("closed", True)


anyio.run(main, *sys.argv[1:])
