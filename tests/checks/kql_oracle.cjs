// What Microsoft's own parser says of each query of a corpus: refused, or accepted with these columns.
//
//   node tests/checks/kql_oracle.cjs MODULES < src/telemetry/kql/tests/oracle.kql > src/telemetry/kql/tests/oracle.txt
//
// `tests/checks/kql_oracle` installs the parser and compares its verdicts with those that are kept.
//
// MODULES is a folder in which `npm install @kusto/language-service-next` was run. Tables and columns are read from
// `src/observe/tables.rs`. It binds names and types, and runs nothing.
const fs = require("fs");
const path = require("path");

const service = path.join(path.resolve(process.argv[2]), "node_modules/@kusto/language-service-next");
require(path.join(service, "bridge.min.js"));
require(path.join(service, "Kusto.Language.Bridge.min.js"));
const { Symbols, GlobalState, KustoCode } = Kusto.Language;

const TYPES = {
  Ticks: "datetime",
  Text: "string",
  "Option<i32>": "int",
  "Option<i64>": "long",
  "Option<f64>": "real",
  "Option<bool>": "bool",
  Json: "dynamic",
};
const CONSTANTS = ["TenantId", "SourceSystem", "Type", "_ResourceId", "_SubscriptionId"];

const source = fs.readFileSync(path.join(__dirname, "../../src/observe/tables.rs"), "utf8");
const tables = new Map();
let columns = null;
for (const line of source.split("\n")) {
  const table = line.match(/^\s+\w+Row = "(\w+)" \{/);
  const column = line.match(/^\s+"(\w+)" \w+: (.+),$/);
  if (table) tables.set(table[1], (columns = []));
  else if (column && columns) columns.push(`${column[1]}: ${TYPES[column[2]]}`);
}
const symbols = [...tables].map(([name, own]) => {
  const all = own.concat(CONSTANTS.map((constant) => `${constant}: string`));
  return Symbols.TableSymbol.From(`(${all.join(", ")})`).WithName(name);
});
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("logs", symbols));

const list = (collection) => Array.from({ length: collection.Count }, (_, index) => collection.getItem(index));

for (const query of fs.readFileSync(0, "utf8").split("\n")) {
  if (query === "" || query.startsWith("//")) continue;
  const code = KustoCode.ParseAndAnalyze(query.replaceAll("\\n", "\n"), globals);
  const errors = list(code.GetDiagnostics()).filter((diagnostic) => diagnostic.Severity === "Error");
  const result = code.ResultType;
  const shown = result && result.Columns ? list(result.Columns).map((one) => `${one.Name}:${one.Type.Name}`) : [];
  console.log(errors.length > 0 ? `refused ${errors[0].Code}` : `accepted ${shown.join(", ")}`);
}
