-- What a call names, one after the other: in ARGV so many fields each, the last of them how many keys its content has; in KEYS
-- m:<id> and those keys. Both go on to the end of ARGV from where they begin.
-- Gives where its fields begin, its record's key, and the keys of its content.
local function each_named(first_key, first_field, fields)
  local key, at = first_key, first_field - fields
  return function()
    at = at + fields
    if at > #ARGV then return nil end
    local record, contents = KEYS[key], {}
    for k = 1, tonumber(ARGV[at + fields - 1]) do contents[k] = KEYS[key + k] end
    key = key + 1 + #contents
    return at, record, contents
  end
end
