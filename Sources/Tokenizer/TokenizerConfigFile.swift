import JSON

/// `tokenizer_config.json`, as far as it is read.
struct TokenizerConfigFile {
    struct Token {
        let content: String
        let field: FileField

        /// A token's text, alone or in an object that also carries its flags; nil for null.
        fileprivate init?(_ field: FileField) throws(TokenizerError) {
            if field.isNull { return nil }
            if let text = field.value.string { content = text } else { content = try field["content"].string() }
            self.field = field
        }
    }

    let addsBeginToken: Bool
    let beginToken: Token?
    let endToken: Token?

    init(_ json: [UInt8]) throws(TokenizerError) {
        let root = try FileField(parsing: json, file: "tokenizer_config.json")
        addsBeginToken = try root["add_bos_token"].bool(default: false)
        beginToken = try Token(root["bos_token"])
        endToken = try Token(root["eos_token"])
    }
}
