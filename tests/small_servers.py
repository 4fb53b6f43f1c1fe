"""A small MCP server for tests: a program that is there at once, for it imports no SDK."""

SERVER = r"""
import json, os, sys

def answer(method, given):
    if method == "initialize":
        return {"protocolVersion": given["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "small", "version": "1"}}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        tool = {"name": "variable", "description": "Tells it.", "inputSchema": schema}
        return {"tools": [tool]}
    name = given["arguments"]["name"]
    if name == "nothing":
        return {"content": [{"type": "text", "text": ""}], "structuredContent": {"result": ""}}
    if name == "table":
        return {"content": [], "structuredContent": {"result": 3}}
    told = os.environ.get(name, "not set")
    return {"content": [{"type": "text", "text": f"{name} is {told}"}]}

print("\x1b[31mbegun\tat \x07once", file=sys.stderr, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    told = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] in ("initialize", "tools/list", "tools/call"):
        told["result"] = answer(asked["method"], asked.get("params", {}))
    else:
        told["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(told), flush=True)
"""
