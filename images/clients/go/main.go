// AWS SDK for Go v2, by the contract in /clients/contract.py. Trust comes by SSL_CERT_FILE: AWS_CA_BUNDLE is
// for its default HTTP client alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

type access struct {
	Endpoint     string `json:"endpoint"`
	Region       string `json:"region"`
	AccessKey    string `json:"access_key"`
	SecretKey    string `json:"secret_key"`
	SessionToken string `json:"session_token"`
	Addressing   string `json:"addressing"`
}

type presign struct {
	Access    *access           `json:"access"`
	Method    string            `json:"method"`
	Bucket    string            `json:"bucket"`
	Key       string            `json:"key"`
	ExpiresS  int64             `json:"expires_s"`
	SignedAtS int64             `json:"signed_at_s"`
	Query     map[string]string `json:"query"`
}

type target struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Body   string `json:"body"`
	Prefix string `json:"prefix"`
}

type task struct {
	Presign *presign `json:"presign"`
	S3      *struct {
		Access    *access           `json:"access"`
		Operation map[string]target `json:"operation"`
	} `json:"s3"`
}

type outcome struct {
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Status  int               `json:"status,omitempty"`
	Body    *string           `json:"body,omitempty"`
	Keys    []string          `json:"keys,omitempty"`
	Code    string            `json:"code,omitempty"`
	Message string            `json:"message,omitempty"`
	Failed  string            `json:"failed,omitempty"`
}

func main() {
	out, err := answer(context.Background())
	if err != nil {
		out = refusal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(ctx context.Context) (outcome, error) {
	var it task
	if err := json.NewDecoder(os.Stdin).Decode(&it); err != nil {
		return outcome{}, err
	}
	switch {
	case it.Presign != nil:
		store, err := client(ctx, it.Presign.Access)
		if err != nil {
			return outcome{}, err
		}
		return sign(ctx, store, it.Presign)
	case it.S3 != nil:
		store, err := client(ctx, it.S3.Access)
		if err != nil {
			return outcome{}, err
		}
		for operation, target := range it.S3.Operation {
			return operate(ctx, store, operation, target)
		}
	}
	return outcome{Failed: "this client has no way to do this"}, nil
}

func client(ctx context.Context, access *access) (*s3.Client, error) {
	options := []func(*config.LoadOptions) error{config.WithRetryMaxAttempts(1)}
	if access != nil {
		fixed := credentials.NewStaticCredentialsProvider(access.AccessKey, access.SecretKey, access.SessionToken)
		options = append(options, config.WithRegion(access.Region), config.WithCredentialsProvider(fixed))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.UsePathStyle = access == nil || access.Addressing != "virtual"
		if access != nil {
			o.BaseEndpoint = aws.String(access.Endpoint)
		}
	}), nil
}

// shifted signs for another instant than now.
type shifted struct {
	inner s3.HTTPPresignerV4
	by    time.Duration
}

func (s shifted) PresignHTTP(
	ctx context.Context, credentials aws.Credentials, request *http.Request, payloadHash, service, region string,
	at time.Time, options ...func(*v4.SignerOptions),
) (string, http.Header, error) {
	return s.inner.PresignHTTP(ctx, credentials, request, payloadHash, service, region, at.Add(s.by), options...)
}

func sign(ctx context.Context, store *s3.Client, it *presign) (outcome, error) {
	if len(it.Query) > 0 {
		return outcome{Failed: "this client signs no further query parameters"}, nil
	}
	signer := s3.NewPresignClient(store, func(o *s3.PresignOptions) {
		o.Expires = time.Duration(it.ExpiresS) * time.Second
		if it.SignedAtS != 0 {
			o.Presigner = shifted{inner: v4.NewSigner(func(s *v4.SignerOptions) { s.DisableURIPathEscaping = true }),
				by: time.Duration(it.SignedAtS) * time.Second}
		}
	})
	bucket, key := aws.String(it.Bucket), aws.String(it.Key)
	var signed *v4.PresignedHTTPRequest
	var err error
	switch it.Method {
	case "GET":
		signed, err = signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	case "PUT":
		signed, err = signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key})
	case "HEAD":
		signed, err = signer.PresignHeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	default:
		signed, err = signer.PresignDeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	}
	if err != nil {
		return outcome{}, err
	}
	headers := map[string]string{}
	for name := range signed.SignedHeader {
		// Every client sends these by itself.
		if lower := strings.ToLower(name); lower != "host" && lower != "content-length" {
			headers[lower] = signed.SignedHeader.Get(name)
		}
	}
	return outcome{URL: signed.URL, Headers: headers}, nil
}

func operate(ctx context.Context, store *s3.Client, operation string, it target) (outcome, error) {
	bucket, key := aws.String(it.Bucket), aws.String(it.Key)
	switch operation {
	case "create-bucket":
		done, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
		if err != nil {
			return outcome{}, err
		}
		return told(done.ResultMetadata), nil
	case "put":
		input := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(it.Body)}
		done, err := store.PutObject(ctx, input)
		if err != nil {
			return outcome{}, err
		}
		return told(done.ResultMetadata), nil
	case "get":
		got, err := store.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
		if err != nil {
			return outcome{}, err
		}
		defer got.Body.Close()
		bytes, err := io.ReadAll(got.Body)
		if err != nil {
			return outcome{}, err
		}
		out := told(got.ResultMetadata)
		out.Body = aws.String(string(bytes))
		return out, nil
	case "head":
		done, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
		if err != nil {
			return outcome{}, err
		}
		return told(done.ResultMetadata), nil
	case "delete":
		done, err := store.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
		if err != nil {
			return outcome{}, err
		}
		return told(done.ResultMetadata), nil
	case "list":
		input := &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String(it.Prefix)}
		var out outcome
		var keys []string
		for pages := s3.NewListObjectsV2Paginator(store, input); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return outcome{}, err
			}
			// The last page answers for all of them.
			out = told(page.ResultMetadata)
			for _, object := range page.Contents {
				keys = append(keys, aws.ToString(object.Key))
			}
		}
		out.Keys = keys
		return out, nil
	}
	return outcome{Failed: "this client has no way to do " + operation}, nil
}

// told is what the answer itself said.
func told(metadata middleware.Metadata) outcome {
	out := outcome{Status: 200}
	if response, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response); ok {
		out.Status = response.StatusCode
		if id := response.Header.Get("X-Amz-Request-Id"); id != "" {
			out.Headers = map[string]string{"x-amz-request-id": id}
		}
	}
	return out
}

// refusal tells an answer of the server from one that never came.
func refusal(err error) outcome {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.HTTPStatusCode() == 0 {
		return outcome{Failed: err.Error()}
	}
	out := outcome{Status: response.HTTPStatusCode(), Message: err.Error()}
	var api smithy.APIError
	if errors.As(err, &api) {
		out.Code, out.Message = api.ErrorCode(), api.ErrorMessage()
	}
	return out
}
