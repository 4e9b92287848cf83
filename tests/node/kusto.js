// Checks queries with Microsoft's language service, and prints the errors and the text literals of each.
//
// Input: {"tables": {NAME: {COLUMN: TYPE}}, "queries": [TEXT]}. Output: [{"diagnostics": [TEXT], "literals": [TEXT]}].
"use strict";

const fs = require("node:fs");

// Two scripts that define globals, in this order; the entry of the package is only the second.
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");

const { GlobalState, KustoCode, KustoFacts, Parsing, Symbols, Syntax } = globalThis.Kusto.Language;
const { tables, queries } = JSON.parse(fs.readFileSync(0, "utf8"));

const symbols = Object.entries(tables).map(([name, columns]) => {
  const schema = Object.entries(columns).map(([column, type]) => `${column}: ${type}`);
  return new Symbols.TableSymbol.$ctor7(name, `(${schema.join(", ")})`, "");
});
const database = new Symbols.DatabaseSymbol.$ctor1("workspace", symbols);
const globals = GlobalState.Default.WithDatabase(database);

function all(list) {
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index));
}

function read(query) {
  const found = all(KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics());
  const diagnostics = found.map((diagnostic) => `${diagnostic.Code} at ${diagnostic.Start}: ${diagnostic.Message}`);
  const tokens = Parsing.TokenParser.ParseTokens(query, null);
  const texts = tokens.filter((token) => token.Kind === Syntax.SyntaxKind.StringLiteralToken);
  return { diagnostics, literals: texts.map((token) => KustoFacts.GetStringLiteralValue(token.Text)) };
}

process.stdout.write(JSON.stringify(queries.map(read)));
