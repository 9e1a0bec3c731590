/**
 * The syntax tree that `parse` of @huggingface/jinja makes. The package does not export these types, so the shape we
 * rely on is written down here and checked by every template in the tests.
 */
export type Node = Statement | Expression;

export type Statement =
  | { type: 'Program'; body: Node[] }
  | { type: 'If'; test: Expression; body: Node[]; alternate: Node[] }
  | { type: 'For'; loopvar: Expression; iterable: Expression; body: Node[]; defaultBlock: Node[] }
  | { type: 'Break' }
  | { type: 'Continue' }
  | { type: 'Set'; assignee: Expression; value: Expression | null; body: Node[] }
  | { type: 'Macro'; name: Identifier; args: Parameter[]; body: Node[] }
  | { type: 'CallStatement'; call: CallExpression; callerArgs: Parameter[] | null; body: Node[] }
  | { type: 'FilterStatement'; filter: FilterName; body: Node[] }
  | { type: 'Comment'; value: string };

export type Expression =
  | Identifier
  | CallExpression
  | FilterExpression
  | MemberExpression
  | { type: 'IntegerLiteral' | 'FloatLiteral'; value: number }
  | { type: 'StringLiteral'; value: string }
  | { type: 'ArrayLiteral' | 'TupleLiteral'; value: Expression[] }
  | { type: 'ObjectLiteral'; value: Map<Expression, Expression> }
  | { type: 'BinaryExpression'; operator: { value: string }; left: Expression; right: Expression }
  | { type: 'UnaryExpression'; operator: { value: string }; argument: Expression }
  | { type: 'TestExpression'; operand: Expression; negate: boolean; test: Identifier }
  | { type: 'SelectExpression'; lhs: Expression; test: Expression }
  | { type: 'Ternary'; condition: Expression; trueExpr: Expression; falseExpr: Expression }
  | SliceExpression
  | KeywordArgument
  | { type: 'SpreadExpression' | 'KeywordSpreadExpression'; argument: Expression };

export interface Identifier {
  type: 'Identifier';
  value: string;
}
export interface CallExpression {
  type: 'CallExpression';
  callee: Expression;
  args: Expression[];
}
export interface FilterExpression {
  type: 'FilterExpression';
  operand: Expression;
  filter: FilterName;
}
export interface MemberExpression {
  type: 'MemberExpression';
  object: Expression;
  property: Expression;
  computed: boolean;
}
export interface SliceExpression {
  type: 'SliceExpression';
  start?: Expression | undefined;
  stop?: Expression | undefined;
  step?: Expression | undefined;
}
export interface KeywordArgument {
  type: 'KeywordArgumentExpression';
  key: Identifier;
  value: Expression;
}
export type FilterName = Identifier | CallExpression;
export type Parameter = Identifier | KeywordArgument;
