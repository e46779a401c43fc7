package function

// DecodeRequest tells whether Codec decodes a request by itself.
var DecodeRequest = decodeRequest
